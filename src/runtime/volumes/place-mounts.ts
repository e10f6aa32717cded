import { stat } from "node:fs/promises";
import type { Cleanup } from "../../base/cleanup.js";
import { shortId, type ContainerId } from "../../base/ids.js";
import { readMountinfo, type MountLine } from "../../base/mountinfo.js";
import { stage } from "../../base/stage.js";
import type { HugeVolume, LayeredRoot } from "../../gen/agent/v1/agent.js";
import type { WritableSnapshot } from "../../image/image-store.js";
import type { Box, SharedPath } from "../../vmm/box.js";
import { layeredRootOf, mirrorOf, writtenPrefix } from "../../vmm/share/layout.js";
import type { Boundary } from "../boundary/boundary.js";
import type { MountSpec } from "../container/container-spec.js";
import type { Deps } from "../deps.js";
import type { Pod } from "../pod/pod.js";
import { userNamespaceOf } from "../pod/user-namespace.js";
import {
  placeDeclared,
  placeMount,
  placePodFile,
  type MountTraits,
  type PlacedMount,
  type PodFile,
} from "../spec/mounts.js";
import { checkBeneath } from "./beneath.js";
import { hugePageKib } from "./huge-pages.js";
import { guestPathOf, hugeVolume, mountOfPages } from "./huge-volumes.js";
import { isImageVolume, subPathOf } from "./image-volumes.js";
import { stepLimitMs } from "../container/limits.js";
import { checkCount, visitedIn, type PlacedSource } from "./nested-mounts.js";
import { isProjected } from "./projected.js";
import { hostSource } from "./shared-sources.js";
import { wantsLaterMounts, type FollowedVolume } from "./submounts.js";

interface Creation {
  readonly id: ContainerId;
  readonly sandbox: Pod;
  readonly box: Box;
  readonly boundary: Boundary;
  readonly deps: Deps;
  readonly undo: Cleanup;
  readonly signal: AbortSignal;
}

export interface PlacedRoot {
  /** As the agent sees it. */
  readonly path: string;
  readonly layered: LayeredRoot | undefined;
}

/** Puts what a new container mounts where its Box sees it, each with its undoing. */
export class MountPlacer {
  /** For the spec, in the order of the request; pod files last. */
  readonly mounts: PlacedMount[] = [];
  /** Every place in the Box's share that the container has a part in. */
  readonly shared: SharedPath[] = [];
  /** Those of them that the agent makes copies of. */
  readonly mirrored: SharedPath[] = [];
  readonly followed: FollowedVolume[] = [];
  /** The agent's own: nothing of them is in the share. */
  readonly hugeVolumes: HugeVolume[] = [];
  /** What is mounted below these in the share the agent visits before the container is there. */
  readonly #withMounts: PlacedSource[] = [];
  readonly #creation: Creation;
  readonly #hostMounts: readonly MountLine[];

  private constructor(creation: Creation, hostMounts: readonly MountLine[]) {
    this.#creation = creation;
    this.#hostMounts = hostMounts;
  }

  static async open(creation: Creation): Promise<MountPlacer> {
    return new MountPlacer(creation, creation.boundary.placesSources ? await readMountinfo() : []);
  }

  /** Where the container's root is; `layered`: the agent lays it there. */
  async root(snapshot: WritableSnapshot): Promise<PlacedRoot> {
    const { id, box } = this.#creation;
    if (snapshot.layerFiles !== undefined) return await this.#layeredRoot(snapshot.written, snapshot.layerFiles);
    const { guestPath } = await this.#share("share rootfs", () => box.shareOverlay(shortId(id), snapshot));
    return { path: guestPath, layered: undefined };
  }

  /** Volumes that the image wants, by their paths in the container. */
  async declared(paths: readonly string[], snapshot: WritableSnapshot): Promise<void> {
    const { box, boundary } = this.#creation;
    for (const [index, containerPath] of paths.entries()) {
      const directory = snapshot.declared[index] ?? "";
      const shared = boundary.placesSources || box.showsOtherOwners;
      const guestPath = shared
        ? (await this.#share(`share volume ${containerPath}`, () => box.shareBind("volume", directory, false)))
            .guestPath
        : directory;
      this.mounts.push(placeDeclared(containerPath, guestPath));
    }
  }

  /** The mounts of the spec; `sources` are theirs on the host, resolved, by position. */
  async volumes(mounts: readonly MountSpec[], sources: readonly string[], snapshot: WritableSnapshot): Promise<void> {
    const writable = new Set(mounts.flatMap((mount, index) => (mount.readonly ? [] : [sources[index]])));
    const images = [...snapshot.volumeLowers];
    for (const [index, mount] of mounts.entries()) {
      const source = sources[index] ?? "";
      const guestPath = isImageVolume(mount)
        ? await this.#image(mount, images.shift() ?? [])
        : await this.#volume(mount, source, !writable.has(source));
      this.mounts.push(placeMount(mount, guestPath));
    }
  }

  /** `/etc/hosts` and its like, as far as the request does not bring them. */
  async podFiles(files: readonly PodFile[], traits: MountTraits): Promise<void> {
    for (const file of files) {
      const name = `share ${file.containerPath}`;
      const isPods = await this.#isPods(file);
      const { guestPath } = isPods
        ? await this.#share(name, () => this.#creation.box.shareMount("file", file.hostPath, false))
        : await this.#source(name, file.hostPath, traits.readonlyRootfs);
      this.mounts.push(placePodFile(file, guestPath, traits, isPods ? ["nosuid", "nodev", "noexec"] : []));
    }
  }

  /** What the agent visits and holds for the container, in this order; when all is in its place. */
  async heldPaths(): Promise<string[]> {
    if (!this.#creation.boundary.placesSources) return [];
    const { box, deps } = this.#creation;
    return [...guestPaths(this.shared), ...new Set(await visitedIn(box, this.#withMounts, deps.native))];
  }

  /** Belongs to root of the pod's user namespace already: it needs a place that this root can reach, and is shown as it is. */
  async #isPods({ hostPath }: PodFile): Promise<boolean> {
    const { idMap } = this.#creation.box.handle;
    return idMap !== undefined && (await stat(hostPath)).uid === idMap.uids.first;
  }

  /** Each layer has one place for all containers of the Box: its guest mounts it once. */
  async #layeredRoot(written: string, files: readonly string[]): Promise<PlacedRoot> {
    const { id, box } = this.#creation;
    const layers: string[] = [];
    for (const file of files) {
      const { guestPath } = await this.#share("share a layer", async (limit) => {
        const source = await hostSource(file, null, []);
        return await this.#creation.deps.containers.sources.share(box, id, source, true, limit);
      });
      layers.push(guestPath);
    }
    const place = await this.#share("share rootfs", () => box.shareBind(writtenPrefix, written, false, false));
    return { path: layeredRootOf(id), layered: { layers, written: place.guestPath } };
  }

  async #image(mount: MountSpec, lowers: readonly string[]): Promise<string> {
    const { id, box, deps } = this.#creation;
    const place = await this.#share(nameOf(mount), () => box.shareImage(shortId(id), lowers));
    return await subPathOf(box, place, mount, deps.native);
  }

  async #volume(mount: MountSpec, source: string, readonly: boolean): Promise<string> {
    const onHugePages = mountOfPages(source, this.#hostMounts);
    if (onHugePages !== undefined) return await this.#hugeVolume(source, onHugePages);
    if (await this.#follows(mount, source)) {
      const place = await this.#alone(nameOf(mount), source, readonly);
      await this.#checkBeneath(mount, source, place);
      return place.guestPath;
    }
    const place = await this.#source(nameOf(mount), source, readonly);
    await this.#checkBeneath(mount, source, place);
    const { box, boundary } = this.#creation;
    const copied =
      boundary.placesSources && mount.readonly && (await box.lookAtShared(place.hostPath, (path) => isProjected(path)));
    return copied ? await this.#mirror(place) : place.guestPath;
  }

  async #checkBeneath({ within }: MountSpec, source: string, place: SharedPath): Promise<void> {
    const { box, deps, signal } = this.#creation;
    if (within !== undefined) await checkBeneath({ source, within, place }, box, deps.native, signal);
  }

  async #hugeVolume(source: string, line: MountLine): Promise<string> {
    const { sandbox, box, signal } = this.#creation;
    const has = await hugePageKib(box, signal);
    const volume = await hugeVolume(source, line, has, userNamespaceOf(sandbox.spec));
    this.hugeVolumes.push(volume);
    return guestPathOf(volume);
  }

  async #follows(mount: MountSpec, source: string): Promise<boolean> {
    const { box, boundary, deps, signal } = this.#creation;
    if (!boundary.placesSources || deps.config.sandbox.hostMounts !== "followed") return false;
    return (await wantsLaterMounts(mount, source)) && (await deps.containers.laterMounts.canFollow(box, signal));
  }

  /** With the mounts below it that are there now. */
  async #source(name: string, source: string, readonly: boolean): Promise<SharedPath> {
    const { id, box, boundary, deps } = this.#creation;
    if (!boundary.placesSources) return await this.#onHost(name, source);
    const { sources, ownDirectories } = deps.containers;
    const place = await this.#share(name, async (limit) => {
      const found = await hostSource(source, this.#hostMounts, ownDirectories);
      return await sources.share(box, id, found, readonly, limit);
    });
    this.#withMounts.push({ source, place });
    return place;
  }

  /** Where it is, unless it has to show other owners; devices have none but the host's. */
  async #onHost(name: string, source: string): Promise<SharedPath> {
    const { box, deps, signal } = this.#creation;
    if (!box.showsOtherOwners) return { guestPath: source, hostPath: source };
    const { kind } = await deps.containers.lookups.lookUp(source, signal);
    if (kind === "device") return { guestPath: source, hostPath: source };
    return await this.#share(name, () => box.shareBind("mapped", source, false));
  }

  /** Without the mounts below it, which come and go. */
  async #alone(name: string, source: string, readonly: boolean): Promise<SharedPath> {
    const { id, box, deps } = this.#creation;
    const { sources, laterMounts, ownDirectories } = deps.containers;
    checkCount(laterMounts.submounts(this.#hostMounts, source).length, source);
    const place = await this.#share(name, async (limit) => {
      const found = await hostSource(source, null, ownDirectories);
      return await sources.share(box, id, found, readonly, limit);
    });
    this.followed.push({ place, source });
    return place;
  }

  /** The copy's path in the guest, or the place's own where this agent makes none. */
  async #mirror(place: SharedPath): Promise<string> {
    const { id, box, deps, undo, signal } = this.#creation;
    const { mirrors } = deps.containers;
    if (!(await mirrors.canWatch(box, place, signal))) return place.guestPath;
    this.mirrored.push(place);
    undo.add("stop watching", () => {
      mirrors.forget(id);
      return Promise.resolve();
    });
    await mirrors.watch(box, id, place, false);
    return mirrorOf(place);
  }

  async #share(name: string, make: (signal: AbortSignal) => Promise<SharedPath>): Promise<SharedPath> {
    const { id, box, deps, undo, signal } = this.#creation;
    const takeBack = ({ hostPath }: SharedPath, limit?: AbortSignal): Promise<void> =>
      deps.containers.sources.release(box, id, hostPath, limit);
    const place = await stage(name, stepLimitMs, signal, make, takeBack);
    undo.add(`undo ${name}`, (limit) => takeBack(place, limit));
    this.shared.push(place);
    return place;
  }
}

/** Each once. */
export function guestPaths(places: readonly SharedPath[]): string[] {
  return [...new Set(places.map(({ guestPath }) => guestPath))];
}

function nameOf(mount: MountSpec): string {
  return `share mount ${mount.containerPath}`;
}
