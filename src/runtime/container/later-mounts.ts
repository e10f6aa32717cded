import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import pLimit from "p-limit";
import { monotonicMs } from "../../base/clock.js";
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import type { ContainerId } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import { parseMountinfo, type MountLine } from "../../base/mountinfo.js";
import { stage } from "../../base/stage.js";
import type { Native } from "../../native/addon.js";
import type { Box, SharedPath } from "../../vmm/box.js";
import { AgentAbility, noPlace } from "./agent-ability.js";
import { longStepLimitMs } from "./limits.js";
import { PlaceWatches, type PlaceWatch } from "./place-watches.js";
import {
  maxSubmounts,
  shareSubmount,
  submountName,
  submountPrefix,
  submountsOf,
  type FollowedVolume,
  type Submount,
} from "./submounts.js";

/** How often the host's mounts are looked at while a container is to see them: some 7 ms of CPU time for 1000 of them. */
const lookMs = 1_000;
/** While a container still uses what the host has unmounted; after failures twice as long each time, to that limit. */
const againMs = 5_000;
const longestAgainMs = 320_000;
/** Mounts that the host's part is done for at a time: each is a few calls, one after the other. */
const sideBySide = 8;

export interface LaterMountsParts {
  readonly native: Native;
  /** Folders of this daemon. */
  readonly own: readonly string[];
  readonly log: Logger;
}

/**
 * Follows the host's mounts below volumes for the containers that are to see them: each gets a place of its own in the
 * share, and the agent binds it from there to where it belongs (docs/adr/0051). A watch for each volume of a Box, for as
 * long as a container has it. What is in the share is found by its name, also by the next daemon.
 */
export class LaterMounts {
  readonly #volumes = new PlaceWatches<Volume>();
  readonly #ability = new AgentAbility((agent, signal) => agent.syncSubmounts(noPlace, [], signal));
  readonly #parts: LaterMountsParts;
  #timer: NodeJS.Timeout | undefined;
  #seen = "";

  constructor(parts: LaterMountsParts) {
    this.#parts = parts;
  }

  /** Whether this Box's agent can. */
  async canFollow(box: Box, signal: AbortSignal): Promise<boolean> {
    return await this.#ability.of(box, signal);
  }

  /** What the host has mounted below it. */
  submounts(mounts: readonly MountLine[], source: string): Submount[] {
    return submountsOf(mounts, source, this.#parts.own);
  }

  /** Volumes that are followed. */
  get size(): number {
    return this.#volumes.size;
  }

  /** From now on. The mounts that are there now are in the guest when it resolves; the agent has the volume already. */
  async follow(box: Box, owner: ContainerId, followed: FollowedVolume, signal: AbortSignal): Promise<void> {
    const volume = this.#add(box, owner, followed);
    if (volume === undefined) throw new RuntimeError("unavailable", "the Box has ended meanwhile");
    await volume.bringUpToDate(parseMountinfo(await mountTable()), signal);
  }

  /** As `follow`, of a container that was there before the daemon; what has changed meanwhile comes with the next look. */
  takeUp(box: Box, owner: ContainerId, followed: FollowedVolume): void {
    this.#add(box, owner, followed);
    this.#seen = "";
  }

  /**
   * The container's session is gone: takes the submounts of volumes that nobody else has out of the share. What can't be
   * taken out is the container's still, for the next try.
   */
  async release(owner: ContainerId): Promise<void> {
    const left = await Promise.allSettled(this.#volumes.leave(owner).map((path) => this.#empty(path, owner)));
    this.#rest();
    for (const one of left) if (one.status === "rejected") throw one.reason;
  }

  /** Nothing is taken out of the shares: the next daemon takes them up. */
  close(): void {
    this.#volumes.closeAll();
    this.#rest();
  }

  #add(box: Box, owner: ContainerId, followed: FollowedVolume): Volume | undefined {
    const path = followed.place.hostPath;
    const volume = this.#volumes.add(box, owner, path, () => new Volume(box, followed, this.#parts));
    if (volume !== undefined) {
      this.#timer ??= setInterval(() => {
        void this.#look();
      }, lookMs).unref();
    }
    return volume;
  }

  async #empty(path: string, owner: ContainerId): Promise<void> {
    const volume = this.#volumes.get(path);
    if (volume === undefined) return;
    try {
      await volume.empty();
    } catch (thrown) {
      volume.owners.add(owner);
      throw thrown;
    }
    if (volume.owners.size === 0) this.#volumes.close(path);
  }

  #rest(): void {
    if (this.#volumes.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #look(): Promise<void> {
    this.#rest();
    if (this.#timer === undefined) return;
    try {
      const text = await mountTable();
      const changed = text !== this.#seen;
      this.#seen = text;
      const due = this.#volumes.all().filter((volume) => changed || volume.isDue());
      if (due.length === 0) return;
      const mounts = parseMountinfo(text);
      await Promise.all(due.map((volume) => volume.look(mounts)));
    } catch (thrown) {
      this.#seen = "";
      this.#parts.log.warn({ err: messageOf(thrown) }, "the host's mounts can't be read");
    }
  }
}

async function mountTable(): Promise<string> {
  return await readFile("/proc/self/mountinfo", "utf8");
}

/** Some side by side; answers in the order given. */
async function eachOf<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const limited = pLimit(sideBySide);
  return await Promise.all(all.map((one) => limited(() => work(one))));
}

/** `at` below the volume, `source` in the share; of the guest. */
interface WantedSubmount {
  readonly at: string;
  readonly source: string;
}

/** One volume's. */
class Volume implements PlaceWatch {
  readonly owners = new Set<ContainerId>();
  readonly box: Box;
  readonly #closed = new AbortController();
  readonly #followed: FollowedVolume;
  readonly #parts: LaterMountsParts;
  readonly #log: Logger;
  /** In the share, by name without its random part. */
  #places: Map<string, SharedPath> | undefined;
  /** What the agent was last told, as text. */
  #told = "";
  #turn: Promise<void> = Promise.resolve();
  #againAtMs = Number.POSITIVE_INFINITY;
  #failures = 0;
  #complaint = "";

  constructor(box: Box, followed: FollowedVolume, parts: LaterMountsParts) {
    this.box = box;
    this.#followed = followed;
    this.#parts = parts;
    this.#log = parts.log.child({ sandboxId: box.id, path: followed.source });
  }

  isDue(): boolean {
    return monotonicMs() >= this.#againAtMs;
  }

  /** Never rejects: what fails is tried again. */
  async look(mounts: readonly MountLine[]): Promise<void> {
    const isClosed = (): boolean => this.#closed.signal.aborted || this.box.exit !== undefined;
    if (isClosed() || this.owners.size === 0) return;
    try {
      await stage("follow mounts of the host", longStepLimitMs, this.#closed.signal, (signal) =>
        this.bringUpToDate(mounts, signal),
      );
    } catch (thrown) {
      // the last session has just gone, or its Box
      const isOver = codeOf(thrown) === "notFound" || isClosed();
      this.#failed(isOver ? this.#complaint : messageOf(thrown));
    }
  }

  /** Said once for as long as it is the same. */
  #failed(err: string): void {
    this.#againAtMs = monotonicMs() + Math.min(longestAgainMs, againMs * 2 ** this.#failures++);
    if (err !== this.#complaint) this.#log.warn({ err }, "mounts of the host could not be followed");
    this.#complaint = err;
  }

  /** One after another, in the order of the calls. What can't be mounted keeps nothing else back, and is tried again. */
  async bringUpToDate(mounts: readonly MountLine[], signal: AbortSignal): Promise<void> {
    const turn = this.#turn.then(() => this.#bringUpToDate(mounts, signal));
    this.#turn = turn.catch(() => undefined);
    await turn;
  }

  close(): void {
    this.#closed.abort();
  }

  /** The agent is done with them. Nothing, when a container has come that has the volume too. */
  async empty(): Promise<void> {
    const turn = this.#turn.then(() => this.#empty());
    this.#turn = turn.catch(() => undefined);
    await turn;
  }

  async #empty(): Promise<void> {
    if (this.box.exit !== undefined || this.owners.size > 0) return;
    this.#told = "";
    const places = await this.#found();
    await this.#takeAway([...places.keys()], places, new Set());
  }

  async #bringUpToDate(mounts: readonly MountLine[], signal: AbortSignal): Promise<void> {
    const { place, source } = this.#followed;
    const all = submountsOf(mounts, source, this.#parts.own);
    if (all.length > maxSubmounts) {
      this.#log.warn({ mounts: all.length, shown: maxSubmounts }, "too many mounts below a volume: not all are shown");
    }
    const places = await this.#found();
    const { wanted, failure: unshared } = await this.#share(all.slice(0, maxSubmounts), places);
    const left = [...places.keys()].filter((name) => !wanted.has(name));
    const told = JSON.stringify([...wanted.values()]);
    let untold = "";
    if (told !== this.#told || left.length > 0) {
      const answer = await this.box.agent.syncSubmounts(place.guestPath, [...wanted.values()], signal);
      untold = answer.failure;
      this.#told = untold === "" ? told : "";
      await this.#takeAway(left, places, new Set(answer.inUse));
    }
    const failure = unshared === "" ? untold : unshared;
    if (failure !== "") {
      this.#failed(failure);
      return;
    }
    this.#failures = 0;
    this.#complaint = "";
    this.#againAtMs = places.size > wanted.size ? monotonicMs() + againMs : Number.POSITIVE_INFINITY;
  }

  /** Each gets a place in the share, where it has none yet; a failure is the first one's. */
  async #share(
    submounts: readonly Submount[],
    places: Map<string, SharedPath>,
  ): Promise<{ readonly wanted: Map<string, WantedSubmount>; readonly failure: string }> {
    const wanted = new Map<string, WantedSubmount>();
    let failure = "";
    const all = await eachOf(submounts, async (submount) => {
      const name = submountName(this.#followed.place, submount);
      try {
        const shared =
          places.get(name) ?? (await shareSubmount(this.box, this.#followed, submount, this.#parts.native));
        if (shared !== undefined) places.set(name, shared);
        return { name, at: submount.at, shared };
      } catch (thrown) {
        if (failure === "") failure = `share ${submount.at}: ${messageOf(thrown)}`;
        return undefined;
      }
    });
    for (const one of all) {
      if (one?.shared !== undefined) wanted.set(one.name, { at: one.at, source: one.shared.guestPath });
    }
    return { wanted, failure };
  }

  async #takeAway(
    names: readonly string[],
    places: Map<string, SharedPath>,
    inUse: ReadonlySet<string>,
  ): Promise<void> {
    await eachOf(names, async (name) => {
      const path = places.get(name);
      if (path === undefined || inUse.has(path.guestPath)) return;
      await this.box.removeShared(path.hostPath);
      places.delete(name);
    });
  }

  /** Those of a daemon before this one too. */
  async #found(): Promise<Map<string, SharedPath>> {
    if (this.#places !== undefined) return this.#places;
    const prefix = submountPrefix(this.#followed.place.hostPath);
    const found = (await this.box.listShared()).filter((path) => basename(path).startsWith(prefix));
    this.#places = new Map(
      found.map((hostPath) => {
        const name = basename(hostPath);
        return [name.slice(0, name.lastIndexOf("-")), { hostPath, guestPath: `/v/${name}` }];
      }),
    );
    return this.#places;
  }
}
