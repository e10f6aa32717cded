/** What goes into the addon and comes out of it. Absent is `null`, never a missing member, unless a member says so. */

/** What every function of the addon rejects with or throws: "ENOENT: mount /x: No such file or directory". */
export interface NativeError extends Error {
  /** errno name. */
  readonly code: string;
  /** errno, negative as Node's own. */
  readonly errno: number;
  /** The system call, or the step of a child that failed ("execve", "setns"). */
  readonly syscall: string;
  readonly path: string | null;
}

export interface MountFlags {
  readonly readonly: boolean;
  readonly nosuid: boolean;
  readonly nodev: boolean;
}

/** What a tmpfs can have beside its size. */
export interface TmpfsMore {
  /** Files and directories, its own among them; null: as many as the kernel gives it. */
  readonly maxInodes: number | null;
  /** User and group of its top. */
  readonly owner: number;
  readonly noexec: boolean;
  /** Links in it lead nowhere (mount(2), MS_NOSYMFOLLOW). */
  readonly nosymfollow: boolean;
}

/** Ids of the host, from `first` on, that a user namespace's from 0 on are. */
export interface HostIds {
  readonly first: number;
  readonly count: number;
}

/** Of a user namespace. */
export interface IdMap {
  readonly uids: HostIds;
  readonly gids: HostIds;
}

/** `count` ids of a user namespace from `inside` on are the host's from `outside` on (user_namespaces(7), uid_map). */
export interface IdExtent {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** Of a user namespace: from 0 on, or in pieces that are the same for users and groups; at least one. */
export type OwnerMap = IdMap | { readonly extents: readonly IdExtent[] };

/** By its number and field 22 of /proc/PID/stat: no other process that has the number later. */
export interface NamedProcess {
  readonly pid: number;
  readonly startTime: bigint;
}

/** What a bind mount can be beside its flags. */
export interface BindShown {
  /** Owners are shown as a user namespace with these ids has them (mount_setattr(2), MOUNT_ATTR_IDMAP); null: as they are. */
  readonly ids: OwnerMap | null;
  /** What comes to be mounted below the source comes to the copy too. */
  readonly follows: boolean;
  /** Whose mounts it becomes one of, the target being a path there without links; absent is this process. */
  readonly among?: NamedProcess | null;
}

export interface OverlayMount {
  /** Lower directories, uppermost first, at least one; any number (paths go over as descriptors where the text is long). */
  readonly lowers: readonly string[];
  /** Both null: a read-only overlay of the lowers. */
  readonly upper: string | null;
  readonly work: string | null;
  readonly target: string;
  readonly flags: MountFlags;
  /** Mount with `index=on` (hard links of lower layers keep their identity). Only with an upper. */
  readonly index: boolean;
  /** Owners in the lowers are shown as a user namespace with these ids has them. Absent is null. */
  readonly ids?: OwnerMap | null;
  /**
   * With `ids`: those in the upper too, which is beside `work` in one directory. What lies on the disk then has the owners that
   * it has without a namespace. The namespace has a root, and nobody else on the host can write to the overlay as root.
   * EROFS where the kernel could mount it only to be read. Absent is false.
   */
  readonly mapsUpper?: boolean;
  /** The upper is on another file system than the lowers: files are numbered so that no two have one number. Absent is false. */
  readonly apart?: boolean;
  /** What it writes is held to quotas, which whoever has all capabilities is not. Only with an upper. Absent is false. */
  readonly obeysQuotas?: boolean;
  /** As `BindShown.among`; the layers' paths are this process's. */
  readonly among?: NamedProcess | null;
}

export type Propagation = "private" | "shared" | "slave";

export interface SpawnOptions {
  /** Absolute path of the program. */
  readonly file: string;
  /** argv, the program's name first. */
  readonly args: readonly string[];
  /** The whole environment, "NAME=value". */
  readonly env: readonly string[];
  readonly cwd: string;
  /** Descriptors of this process that become 0, 1, 2, 3, … of the child; null is /dev/null. At least three. */
  readonly stdio: readonly (number | null)[];
  /** Network namespace to enter, a path as `createNetns` made it; null: the caller's. */
  readonly netns: string | null;
  /** A new mount namespace, all of it made rslave. */
  readonly newMountNamespace: boolean;
  /** New IPC and UTS namespaces. */
  readonly newIpcAndUts: boolean;
  /** A new PID namespace, of which the process is number 1; /proc stays the old one's. Absent is false. */
  readonly newPidNamespace?: boolean;
  /** Killed when this process ends, whatever way; else it outlives it. Absent is false. */
  readonly dieWithParent?: boolean;
  /** `cgroup.procs` files that the child writes itself into before it executes, in order. */
  readonly cgroupProcs: readonly string[];
  /** RLIMIT_NOFILE, soft and hard, cut to what is allowed; null: inherited. */
  readonly maxOpenFiles: number | null;
  /** /proc/self/oom_score_adj to write, clamped to what is allowed; null: inherited. */
  readonly oomScoreAdj: number | null;
}

export interface SpawnedProcess extends NamedProcess {
  /** Close-on-exec pidfd; the caller closes it with `closeFd`. */
  readonly pidfd: number;
}

export interface ExitInfo {
  /** Exit code; null when killed, or when the process was not our child. */
  readonly code: number | null;
  /** Signal number; null when it exited, or when the process was not our child. */
  readonly signal: number | null;
}

/** A watch on the end of a process; `exited` settles once. */
export interface ExitWatch {
  readonly exited: Promise<ExitInfo>;
  /** Stops watching and forgets; `exited` then never settles. A second call does nothing. */
  close(): void;
}

/** One that is not closed has a thread and two descriptors; it does not keep the process alive. */
export interface MountWatch {
  /** Resolves with true when mounts have changed since it last did, with false when the watch is closed. */
  next(): Promise<boolean>;
  /** A second call does nothing. */
  close(): void;
}

export interface TscReading {
  readonly ticks: bigint;
  readonly monotonicNs: bigint;
}

/** One link of a network namespace, as rtnetlink(7) tells. */
export interface LinkState {
  readonly index: number;
  readonly mac: string;
  readonly mtu: number;
  readonly promiscuous: boolean;
  readonly allMulticast: boolean;
  /** Packets. */
  readonly transmitQueue: number;
  /** CIDR, both families; link-local IPv6 left out. */
  readonly addresses: readonly string[];
  /** Of the main table, leaving by this link to one next hop or none. */
  readonly routes: readonly LinkRoute[];
  /** The permanent ones. */
  readonly neighbours: readonly { readonly address: string; readonly mac: string }[];
}

export interface LinkRoute {
  /** CIDR; "0.0.0.0/0" and "::/0" are the defaults. */
  readonly destination: string;
  /** Null: on the link. May be of the other family. */
  readonly gateway: string | null;
  readonly source: string | null;
  /** 0: none. */
  readonly metric: number;
  /** 0: the link's. */
  readonly mtu: number;
  /** The gateway is on the link although no other route says so. */
  readonly onLink: boolean;
}

/** An flock on a directory or a file; it ends with the process, and with those that were given its descriptor. */
export interface DirectoryLock {
  /** Good until it is closed. */
  readonly fd: number;
  close(): void;
}

/** A path with its links resolved, and what is there. */
export interface HostFile {
  readonly path: string;
  readonly kind: "file" | "directory" | "socket" | "fifo" | "device";
  readonly device: bigint;
  readonly inode: bigint;
}

/** As they were at connect(2). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Of one project (quotactl(2)); limits of 0 are none. */
export interface ProjectUse {
  readonly id: number;
  readonly bytes: bigint;
  readonly inodes: bigint;
  readonly maxBytes: bigint;
  readonly maxInodes: bigint;
}

export interface JoinedListener {
  /** Nobody new; those who are connected go on until either side has closed. */
  readonly close: () => void;
}
