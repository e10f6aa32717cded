import type { ContainerId, PodId } from "../../base/ids.js";
import { Limiter } from "../../base/limiter.js";
import { neverAborted } from "../../base/signals.js";
import type { Box } from "../../vmm/box.js";
import type { ResourceSpec } from "./resource-spec.js";

/** What of a container's resources says where it runs: CPUs and memory nodes of the host. */
export type Place = Pick<ResourceSpec, "cpusetCpus" | "cpusetMems">;

/** What a container without resources asks for is nothing. */
export function placeIn(resources: ResourceSpec | undefined): Place {
  return { cpusetCpus: resources?.cpusetCpus ?? "", cpusetMems: resources?.cpusetMems ?? "" };
}

/**
 * Keeps Boxes on the CPUs and memory nodes that their containers are given. A guest's CPUs are threads of the host on which
 * each container may run, so a Box has what its containers have together; one that may run anywhere frees all. A pod of
 * the host is none of this: its containers have groups of their own.
 */
export class CpuSets {
  readonly #locks = new Limiter<PodId>({ perKey: 1 });
  /** Of creations and updates under way, over the records. */
  readonly #claims = new Map<ContainerId, { readonly sandbox: PodId; readonly place: Place }>();
  readonly #recorded: (sandbox: PodId) => ReadonlyMap<ContainerId, Place>;
  readonly #shared: (sandbox: PodId) => boolean;
  /** What was set last. A Box that is not here has been given nothing, and so has all. */
  readonly #set = new WeakMap<Box, string>();

  /** `recorded`: of the sandbox's containers that have not exited; `shared`: its containers run wherever it does. */
  constructor(recorded: (sandbox: PodId) => ReadonlyMap<ContainerId, Place>, shared: (sandbox: PodId) => boolean) {
    this.#recorded = recorded;
    this.#shared = shared;
  }

  /** Gives a container its place, before its record says so. On an error (`confineTo`) nothing has changed. */
  async claim(box: Box, id: ContainerId, place: Place, signal: AbortSignal): Promise<void> {
    this.#claims.set(id, { sandbox: box.id, place });
    try {
      await this.settle(box, signal);
    } catch (thrown) {
      await this.release(box, id);
      throw thrown;
    }
  }

  /** As `claim`, for as long as `work` takes; its record says so by then, or the container is back where it was. */
  async during(box: Box, id: ContainerId, place: Place, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    await this.claim(box, id, place, signal);
    try {
      await work();
    } finally {
      await this.release(box, id);
    }
  }

  /** The container's record counts again, or that it has none. */
  async release(box: Box, id: ContainerId): Promise<void> {
    if (this.#claims.delete(id)) await this.settle(box);
  }

  /** A Box that was running before this daemon: the one before may have died before it had set all. */
  async takeUp(box: Box): Promise<void> {
    this.#set.set(box, unknown);
    await this.settle(box);
  }

  /** Sets what the containers have together now. */
  async settle(box: Box, signal = neverAborted): Promise<void> {
    if (!this.#shared(box.id)) return;
    await this.#locks.run(box.id, signal, async () => {
      if (box.exit !== undefined) return;
      const places = this.#placesOf(box.id);
      const set = { cpus: together(places, "cpusetCpus"), mems: together(places, "cpusetMems") };
      const text = JSON.stringify(set);
      if ((this.#set.get(box) ?? none) === text) return;
      this.#set.set(box, unknown);
      await box.confineTo(set);
      this.#set.set(box, text);
    });
  }

  #placesOf(sandbox: PodId): Place[] {
    const places = new Map(this.#recorded(sandbox));
    for (const [id, claim] of this.#claims) if (claim.sandbox === sandbox) places.set(id, claim.place);
    return [...places.values()];
  }
}

const unknown = "";
const none = JSON.stringify({ cpus: "", mems: "" });

/** The kernel takes lists that overlap. */
function together(places: readonly Place[], key: keyof Place): string {
  const lists = new Set(places.map((place) => place[key]));
  return lists.has("") ? "" : [...lists].sort().join(",");
}
