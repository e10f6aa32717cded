import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { isNotFound } from "../../base/errors.js";
import type { ContainerId, PodId } from "../../base/ids.js";
import { Limiter } from "../../base/limiter.js";
import { neverAborted } from "../../base/signals.js";
import type { Box, SharedPath } from "../../vmm/box.js";
import { isBelow, mountsBelow, type MountLine } from "../../base/mountinfo.js";
import { volumeAt } from "../../vmm/share/layout.js";

/** A file or directory of the host, as it is now. */
export interface HostSource {
  /** Without what is mounted below it, which comes and goes on its own (`LaterMounts`). */
  readonly alone: boolean;
  /** Without what is mounted in these directories: those of the daemon, where each Box and image has its mounts. */
  readonly without: readonly string[];
  /** Resolved and absolute. */
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
  /** 16 hex digits: of the same file, with the same mounts in it. */
  readonly key: string;
}

/** `mounts`: as the daemon sees them, null: `alone`; `own`: its directories, what is mounted in them is no part of a source. */
export async function hostSource(
  path: string,
  mounts: readonly MountLine[] | null,
  own: readonly string[],
): Promise<HostSource> {
  const { dev: device, ino: inode } = await stat(path, { bigint: true });
  const below = mountsBelow(mounts ?? [], path).filter(
    (target) => !own.some((directory) => isBelow(target, directory)),
  );
  const facts = JSON.stringify([path, String(device), String(inode), below]);
  const key = createHash("sha256").update(facts).digest("hex").slice(0, 16);
  return { alone: mounts === null, without: own, path, device, inode, key };
}

/** What is shared with whom; containers' records are the truth, claims are of those that have none yet. */
export interface SharedBy {
  readonly id: ContainerId;
  readonly paths: readonly string[];
}

/**
 * Where sources of the host are in a Box's share: one place for all containers of a pod. The guest's kernel takes two
 * places of one file for two files, whose locks, mappings and (for a second) sizes have nothing to do with each other.
 * A source that is shared read-only has a second place once a container wants to write to it, and so has one for
 * containers that are to see its mounts come and go.
 */
export class SharedSources {
  readonly #locks = new Limiter<PodId>({ perKey: 1 });
  readonly #claims = new Map<ContainerId, { readonly sandbox: PodId; readonly paths: Set<string> }>();
  readonly #recorded: (sandbox: PodId) => SharedBy[];

  constructor(recorded: (sandbox: PodId) => SharedBy[]) {
    this.#recorded = recorded;
  }

  /** The source's place, made where there is none. `release` it when the container goes, or does not come to be. */
  async share(
    box: Box,
    owner: ContainerId,
    source: HostSource,
    readonly: boolean,
    signal = neverAborted,
  ): Promise<SharedPath> {
    return await this.#locks.run(box.id, signal, async () => {
      const path = (await this.#existing(box, source, readonly)) ?? (await this.#make(box, source, readonly));
      const claim = this.#claims.get(owner) ?? { sandbox: box.id, paths: new Set() };
      claim.paths.add(path.hostPath);
      this.#claims.set(owner, claim);
      return path;
    });
  }

  /** Unmounts it unless another container has it too. Success when gone. */
  async release(box: Box, owner: ContainerId, hostPath: string, signal = neverAborted): Promise<void> {
    await this.#locks.run(box.id, signal, async () => {
      const claim = this.#claims.get(owner);
      claim?.paths.delete(hostPath);
      if (claim?.paths.size === 0) this.#claims.delete(owner); // one of a place that came after its creation's end
      const others = this.#users(box.id).filter(({ id }) => id !== owner);
      if (!others.some(({ paths }) => paths.includes(hostPath))) await box.removeShared(hostPath);
    });
  }

  /** The container has a record now, or has failed. */
  settled(owner: ContainerId): void {
    this.#claims.delete(owner);
  }

  async #make(box: Box, source: HostSource, readonly: boolean): Promise<SharedPath> {
    return await box.shareBind(
      prefixOf(readonly ? "ro" : "rw", source),
      source.path,
      readonly,
      !source.alone,
      source.without,
    );
  }

  async #existing(box: Box, source: HostSource, readonly: boolean): Promise<SharedPath | undefined> {
    const paths = new Set(this.#users(box.id).flatMap((user) => user.paths));
    for (const access of readonly ? (["rw", "ro"] as const) : (["rw"] as const)) {
      const found = [...paths].filter((path) => basename(path).startsWith(`${prefixOf(access, source)}-`));
      for (const hostPath of found) {
        if (await isMountOf(box, hostPath, source)) return volumeAt(hostPath);
      }
    }
    return undefined;
  }

  #users(sandbox: PodId): SharedBy[] {
    const claimed = [...this.#claims].filter(([, claim]) => claim.sandbox === sandbox);
    return [...this.#recorded(sandbox), ...claimed.map(([id, { paths }]) => ({ id, paths: [...paths] }))];
  }
}

function prefixOf(access: "ro" | "rw", { alone, key }: HostSource): string {
  return `${access}${alone ? "-alone" : ""}-${key}`;
}

/** One of a container that is being removed may have gone already. */
async function isMountOf(box: Box, hostPath: string, source: HostSource): Promise<boolean> {
  try {
    const { dev, ino } = await box.lookAtShared(hostPath, (path) => stat(path, { bigint: true }));
    return dev === source.device && ino === source.inode;
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}
