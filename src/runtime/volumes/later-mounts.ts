import { messageOf, RuntimeError } from "../../base/errors.js";
import type { ContainerId } from "../../base/ids.js";
import { readMountinfo, type MountLine } from "../../base/mountinfo.js";
import type { Box } from "../../vmm/box.js";
import { noVolume } from "../../vmm/share/layout.js";
import { AgentAbility } from "./agent-ability.js";
import { MountChanges } from "./mount-changes.js";
import { PlaceWatches } from "./place-watches.js";
import { submountsOf, type FollowedVolume, type Submount } from "./submounts.js";
import { VolumeMounts, type LaterMountsParts } from "./volume-mounts.js";

/**
 * Follows the host's mounts below volumes for the containers that are to see them: each gets a place of its own in the
 * share, and the agent binds it from there to where it belongs (docs/adr/0051). A watch for each volume of a Box, for as
 * long as a container has it. What is in the share is found by its name, also by the next daemon.
 */
export class LaterMounts {
  readonly #volumes = new PlaceWatches<VolumeMounts>(() => {
    this.#changes?.close();
    this.#changes = undefined;
  });
  readonly #ability = new AgentAbility((agent, signal) => agent.syncSubmounts(noVolume, [], signal));
  readonly #parts: LaterMountsParts;
  /** While there are volumes. */
  #changes: MountChanges | undefined;

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
    await volume.bringUpToDate(await readMountinfo(), signal);
  }

  /** As `follow`, of a container that was there before the daemon; what has changed meanwhile comes with the next look. */
  takeUp(box: Box, owner: ContainerId, followed: FollowedVolume): void {
    try {
      this.#add(box, owner, followed);
      void this.#changes?.lookAgain();
    } catch (thrown) {
      const facts = { sandboxId: box.id, containerId: owner, path: followed.source, err: messageOf(thrown) };
      this.#parts.log.warn(facts, "mounts of the host can't be followed");
    }
  }

  /**
   * The container's session is gone: takes the submounts of volumes that nobody else has out of the share. What can't be
   * taken out is the container's still, for the next try.
   */
  async release(owner: ContainerId): Promise<void> {
    const left = await Promise.allSettled(this.#volumes.leave(owner).map((path) => this.#empty(path, owner)));
    for (const one of left) if (one.status === "rejected") throw one.reason;
  }

  /** Nothing is taken out of the shares: the next daemon takes them up. */
  close(): void {
    this.#volumes.closeAll();
  }

  /** The watch begins before what is there is looked at. */
  #add(box: Box, owner: ContainerId, followed: FollowedVolume): VolumeMounts | undefined {
    const path = followed.place.hostPath;
    const lookAgain = (): void => {
      void this.#changes?.lookAgain();
    };
    const volume = this.#volumes.add(box, owner, path, () => new VolumeMounts(box, followed, this.#parts, lookAgain));
    if (volume !== undefined) this.#changes ??= new MountChanges(this.#parts.native, () => this.#look());
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

  /** Volumes are brought up to date side by side, and no look waits for one whose file system does not answer. */
  async #look(): Promise<void> {
    try {
      const mounts = await readMountinfo();
      for (const volume of this.#volumes.all()) volume.look(mounts);
    } catch (thrown) {
      this.#parts.log.warn({ err: messageOf(thrown) }, "the host's mounts can't be read");
    }
  }
}
