import { watch, type FSWatcher } from "node:fs";
import { codeOf, messageOf } from "../../base/errors.js";
import type { ContainerId } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import { stage } from "../../base/stage.js";
import { untilDone } from "../../base/until-done.js";
import type { Box, SharedPath } from "../../vmm/box.js";
import { noVolume } from "../../vmm/share/layout.js";
import { AgentAbility } from "./agent-ability.js";
import { stepLimitMs } from "../container/limits.js";
import { PlaceWatches, type PlaceWatch } from "./place-watches.js";

/** Directories that are watched at a time; a volume beyond is shared as any other, its readers see changes in a second. */
const defaultMaxWatched = 4096;
/** A swap is a few events in a row. */
const settleMs = 30;
/** The guest believes for a second what it has seen of a directory: what was read just before that is read once more. */
const secondLookMs = 1_200;

/**
 * Watches of the volumes that the agents have copies of: events of the host don't cross virtio-fs, so the daemon watches
 * the host's directory, and the agent changes its copy, which programs in the guest can watch. One for each volume of a Box,
 * for as long as a container has it.
 */
export class Mirrors {
  readonly #watches = new PlaceWatches<Watch>();
  readonly #ability = new AgentAbility((agent, signal) => agent.syncMirror(noVolume, signal));
  readonly #log: Logger;
  readonly #maxWatched: number;

  constructor(log: Logger, maxWatched = defaultMaxWatched) {
    this.#log = log;
    this.#maxWatched = maxWatched;
  }

  /** Volumes that are watched. */
  get size(): number {
    return this.#watches.size;
  }

  /** Whether this Box's agent makes copies, and there is room for one more watch; where there is none it is said. */
  async canWatch(box: Box, place: SharedPath, signal: AbortSignal): Promise<boolean> {
    if (!(await this.#ability.of(box, signal))) return false;
    if (this.#watches.has(place.hostPath) || this.#watches.size < this.#maxWatched) return true;
    this.#log.warn(
      { sandboxId: box.id, path: place.hostPath, watched: this.#watches.size },
      "too many volumes are watched: programs that watch this one in its container are not told of changes",
    );
    return false;
  }

  /**
   * From now on, also before there is a copy; `place` is of the box's share. `missed`: something may have changed since
   * the copy was made. Nothing, when the Box has ended.
   */
  async watch(box: Box, owner: ContainerId, place: SharedPath, missed: boolean): Promise<void> {
    const one = this.#watches.add(box, owner, place.hostPath, () => new Watch(box, place, this.#log));
    await one?.begun;
    if (missed) one?.look();
  }

  /** The container goes. */
  forget(owner: ContainerId): void {
    for (const path of this.#watches.leave(owner)) this.#watches.close(path);
  }

  close(): void {
    this.#watches.closeAll();
  }
}

/** One volume's. */
class Watch implements PlaceWatch {
  readonly owners = new Set<ContainerId>();
  readonly box: Box;
  /** What changes from then on is seen, or it has been said why not. */
  readonly begun: Promise<void>;
  readonly #place: SharedPath;
  readonly #log: Logger;
  readonly #closed = new AbortController();
  #watcher: FSWatcher | undefined;
  #soon: NodeJS.Timeout | undefined;
  #later: NodeJS.Timeout | undefined;
  #busy = false;
  #again = false;

  constructor(box: Box, place: SharedPath, log: Logger) {
    this.box = box;
    this.#place = place;
    this.#log = log.child({ sandboxId: box.id, path: place.hostPath });
    this.begun = this.#begin();
  }

  /** inotify(7) watches what is there, whatever the path by which that was found. */
  async #begin(): Promise<void> {
    try {
      await this.box.lookAtShared(this.#place.hostPath, (path) => {
        if (!this.#closed.signal.aborted) this.#watchAt(path);
        return Promise.resolve();
      });
    } catch (thrown) {
      // the host is out of watches: the container runs with what the volume is now
      this.#log.warn({ err: messageOf(thrown) }, "volume can't be watched");
    }
  }

  #watchAt(path: string): void {
    this.#watcher = watch(path, { persistent: false }, () => {
      this.look();
    });
    this.#watcher.on("error", (thrown: unknown) => {
      this.#log.warn({ err: messageOf(thrown) }, "volume is not watched any more");
    });
  }

  look(): void {
    if (this.#closed.signal.aborted) return;
    clearTimeout(this.#soon);
    clearTimeout(this.#later);
    const run = (): void => {
      void this.#sync();
    };
    this.#soon = setTimeout(run, settleMs).unref();
    this.#later = setTimeout(run, secondLookMs).unref();
  }

  close(): void {
    this.#closed.abort();
    clearTimeout(this.#soon);
    clearTimeout(this.#later);
    this.#watcher?.close();
  }

  /** One at a time; never rejects. No event of the host comes again: what fails is tried until it does not. */
  async #sync(): Promise<void> {
    this.#again = true;
    if (this.#busy) return;
    this.#busy = true;
    const { signal } = this.#closed;
    const failed = (thrown: unknown): void => {
      if (this.box.exit !== undefined) return;
      this.#log.warn({ err: messageOf(thrown) }, "volume's copy in the guest is not up to date; it is tried again");
    };
    while (this.#again && !signal.aborted && this.box.exit === undefined) {
      this.#again = false;
      await untilDone(() => this.#copyAgain(), signal, failed).catch(() => undefined); // closed
    }
    this.#busy = false;
  }

  async #copyAgain(): Promise<void> {
    await this.box.agent.awake(this.#closed.signal); // of a paused Box, when it goes on
    try {
      await stage("sync copy", stepLimitMs, this.#closed.signal, (signal) =>
        this.box.agent.syncMirror(this.#place.guestPath, signal),
      );
    } catch (thrown) {
      // the copy is yet to be made, of what is there then; or its last session has just gone
      if (codeOf(thrown) !== "notFound") throw thrown;
    }
  }
}
