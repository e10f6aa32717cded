import { basename } from "node:path";
import { codeOf, messageOf } from "../../base/errors.js";
import type { ContainerId } from "../../base/ids.js";
import { Limiter } from "../../base/limiter.js";
import type { Logger } from "../../base/log.js";
import type { MountLine } from "../../base/mountinfo.js";
import { neverAborted } from "../../base/signals.js";
import { stage } from "../../base/stage.js";
import type { Native } from "../../native/addon.js";
import type { Box, SharedPath } from "../../vmm/box.js";
import { volumeAt } from "../../vmm/share/layout.js";
import { longStepLimitMs } from "../container/limits.js";
import type { PlaceWatch } from "./place-watches.js";
import {
  maxSubmounts,
  shareSubmount,
  submountName,
  submountPrefix,
  submountsOf,
  type FollowedVolume,
  type Submount,
} from "./submounts.js";

/** While a container still uses what the host has unmounted; after failures twice as long each time, to that limit. */
const againMs = 5_000;
const longestAgainMs = 320_000;
/** Mounts that the host's part is done for at a time: each is a few calls, one after the other. */
const sideBySide = 8;

export interface LaterMountsParts {
  readonly native: Native;
  /** Directories of this daemon. */
  readonly own: readonly string[];
  readonly log: Logger;
}

/** Some side by side; answers in the order given. */
async function eachOf<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const limited = new Limiter<"one">({ inAll: sideBySide });
  return await Promise.all(all.map((one) => limited.run("one", neverAborted, () => work(one))));
}

/** `at` below the volume, `source` in the share; of the guest. */
interface WantedSubmount {
  readonly at: string;
  readonly source: string;
}

/** What the host has mounted below one volume of a Box, in its share and at its agent. */
export class VolumeMounts implements PlaceWatch {
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
  readonly #lookAgain: () => void;
  /** What was seen last, for the look that is next. */
  #latest: readonly MountLine[] | undefined;
  #looking = false;
  #again: NodeJS.Timeout | undefined;
  #failures = 0;
  #complaint = "";

  constructor(box: Box, followed: FollowedVolume, parts: LaterMountsParts, lookAgain: () => void) {
    this.box = box;
    this.#followed = followed;
    this.#parts = parts;
    this.#lookAgain = lookAgain;
    this.#log = parts.log.child({ sandboxId: box.id, path: followed.source });
  }

  /** One at a time; of what comes meanwhile the last counts. What fails is tried again. */
  look(mounts: readonly MountLine[]): void {
    this.#latest = mounts;
    if (!this.#looking) void this.#looks();
  }

  async #looks(): Promise<void> {
    this.#looking = true;
    while (this.#latest !== undefined) {
      const mounts = this.#latest;
      this.#latest = undefined;
      await this.#lookOnce(mounts);
    }
    this.#looking = false;
  }

  async #lookOnce(mounts: readonly MountLine[]): Promise<void> {
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
    this.#tryAgainIn(Math.min(longestAgainMs, againMs * 2 ** this.#failures++));
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
    clearTimeout(this.#again);
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
    this.#tryAgainIn(places.size > wanted.size ? againMs : undefined);
  }

  /** Undefined: not without a change. */
  #tryAgainIn(ms: number | undefined): void {
    clearTimeout(this.#again);
    if (ms === undefined || this.#closed.signal.aborted) return;
    this.#again = setTimeout(this.#lookAgain, ms).unref();
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
        return [name.slice(0, name.lastIndexOf("-")), volumeAt(hostPath)];
      }),
    );
    return this.#places;
  }
}
