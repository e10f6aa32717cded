/**
 * The mounts of a container, in the order in which the agent makes them.
 * Source: CRI Mount; OCI runtime spec config.md, "Mounts" and config-linux.md, "Default Filesystems".
 */
import { posix } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import type { ImageConfig } from "../../image/image-store.js";
import type { MountPropagation, MountSpec } from "../container/container-spec.js";
import { refuseNul } from "./process.js";
import type { OciMount } from "./oci.js";
import type { SpecRules } from "./rules.js";

/** A file of the sandbox that every container sees unless it brings its own. */
export interface PodFile {
  readonly containerPath: "/etc/hosts" | "/etc/hostname" | "/etc/resolv.conf";
  readonly hostPath: string;
}

/** A mount whose source has a place in the share. */
export interface PlacedMount {
  readonly containerPath: string;
  readonly guestPath: string;
  readonly readonly: boolean;
  readonly recursiveReadonly: boolean;
  readonly propagation: MountPropagation;
  readonly extraOptions: readonly string[];
}

export interface MountTraits {
  readonly privileged: boolean;
  readonly readonlyRootfs: boolean;
}

/** Looks at the request only, not at the host; `rules` may know more. */
export function checkMount(mount: MountSpec, index: number, rules: Pick<SpecRules, "checkPropagation">): void {
  const what = `mounts[${index}]`;
  refuseNul(mount.containerPath, `${what}.container_path`);
  refuseNul(mount.hostPath, `${what}.host_path`);
  if (cleanPath(mount.containerPath) === "/") {
    throw new RuntimeError("invalidArgument", `${what}.container_path "${mount.containerPath}" is not a path below /`);
  }
  if (mount.image !== undefined && mount.image.name !== "") checkImageVolume(mount, what);
  else if (mount.imageSubPath !== "")
    throw new RuntimeError("invalidArgument", `${what}.image_sub_path without an image`);
  else if (!mount.hostPath.startsWith("/")) {
    throw new RuntimeError("invalidArgument", `${what}.host_path "${mount.hostPath}" is not an absolute path`, {
      hint: "name the source by its full path on the host",
    });
  }
  rules.checkPropagation(mount, what);
  const isPrivate = mount.propagation === "private";
  if (mount.recursiveReadonly && !(mount.readonly && isPrivate)) {
    throw new RuntimeError("invalidArgument", `${what}: recursive_read_only needs readonly and no propagation`, {
      hint: "set readOnly, and mountPropagation to None",
    });
  }
}

/** CRI Mount.image: read-only by definition, and host_path has no meaning beside it. */
function checkImageVolume(mount: MountSpec, what: string): void {
  refuseNul(mount.imageSubPath, `${what}.image_sub_path`);
  if (mount.hostPath !== "") {
    throw new RuntimeError("invalidArgument", `${what} has both an image and the host_path "${mount.hostPath}"`);
  }
  if (!mount.readonly) {
    throw new RuntimeError("invalidArgument", `${what}: an image can be mounted read-only alone`, {
      hint: "set readonly",
    });
  }
}

/** A relative one is below the root, as with containerd. */
function cleanPath(path: string): string {
  return posix.resolve("/", path);
}

/** Where the mount of a request goes, once its source has a place in the share. */
export function placeMount(mount: MountSpec, guestPath: string): PlacedMount {
  return {
    containerPath: cleanPath(mount.containerPath),
    guestPath,
    readonly: mount.readonly,
    recursiveReadonly: mount.recursiveReadonly,
    propagation: mount.propagation,
    extraOptions: mount.options.filter((option) => ["noexec", "nodev", "nosuid"].includes(option)),
  };
}

/**
 * Where the image wants volumes of the container's own: those that the request does not bring itself. The root is none, and
 * what is there for the kernel's sake is not an image's to replace, as far as it is mounted on `/proc`, `/sys` or `/dev`.
 */
export function declaredVolumes(image: Pick<ImageConfig, "volumes">, mounts: readonly MountSpec[]): string[] {
  const taken = new Set(["/", "/proc", "/sys", "/dev", ...mounts.map((mount) => cleanPath(mount.containerPath))]);
  const wanted = image.volumes.map(cleanPath);
  return [...new Set(wanted)].filter((path) => !taken.has(path) && !path.includes("\0"));
}

export function placeDeclared(containerPath: string, guestPath: string): PlacedMount {
  const plain = { readonly: false, recursiveReadonly: false, propagation: "private", extraOptions: [] } as const;
  return { containerPath, guestPath, ...plain };
}

/** The sandbox's files that the container does not bring itself. */
export function missingPodFiles(mounts: readonly MountSpec[], files: readonly PodFile[]): PodFile[] {
  const brought = new Set(mounts.map((mount) => cleanPath(mount.containerPath)));
  return files.filter((file) => !brought.has(file.containerPath));
}

/** `flags`: what its mount can't lose in the pod's user namespace (mount_namespaces(7), locked), and so has to name. */
export function placePodFile(
  file: PodFile,
  guestPath: string,
  traits: MountTraits,
  flags: readonly string[],
): PlacedMount {
  return {
    containerPath: file.containerPath,
    guestPath,
    readonly: traits.readonlyRootfs,
    recursiveReadonly: false,
    propagation: "private",
    extraOptions: flags,
  };
}

/**
 * The kernel's file systems first, then everything bound, parents before children. A bind on the same path replaces a
 * default, a bind on /dev all defaults below it. `sharedMemory` is where the pod's is.
 */
export function allMounts(placed: readonly PlacedMount[], traits: MountTraits, sharedMemory: string): OciMount[] {
  const taken = new Set(placed.map((mount) => mount.containerPath));
  const ownDev = taken.has("/dev");
  const defaults = kernelMounts(traits).filter(
    (mount) => !taken.has(mount.destination) && !(ownDev && mount.destination.startsWith("/dev/")),
  );
  const binds = placed.map((mount) => bindOf(mount));
  if (!taken.has("/dev/shm") && !ownDev) {
    binds.push({
      destination: "/dev/shm",
      type: "bind",
      source: sharedMemory,
      options: ["rbind", "nosuid", "noexec", "nodev"],
    });
  }
  return [...defaults, ...binds.sort((left, right) => depth(left.destination) - depth(right.destination))];
}

function depth(path: string): number {
  return path.split("/").length;
}

/** "ro" is for the mount itself: what is mounted below it stays as it is (CRI Mount.readonly). */
function bindOf(mount: PlacedMount): OciMount {
  const access = mount.recursiveReadonly ? ["ro", "rro"] : [mount.readonly ? "ro" : "rw"];
  return {
    destination: mount.containerPath,
    type: "bind",
    source: mount.guestPath,
    options: ["rbind", propagationOf(mount), ...access, ...mount.extraOptions],
  };
}

function propagationOf({ propagation }: PlacedMount): string {
  switch (propagation) {
    case "hostToContainer":
      return "rslave";
    case "bidirectional":
      return "rshared";
    case "private":
      return "rprivate";
  }
}

function kernelMounts({ privileged }: MountTraits): OciMount[] {
  const access = privileged ? "rw" : "ro";
  const quiet = ["nosuid", "noexec", "nodev"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: quiet },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: quiet },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...quiet, access] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...quiet, "relatime", access] },
  ];
}
