/**
 * What the rest of the runtime sees of images. Nothing here speaks CRI: the agent API will be a second user.
 */
import type { ErrorCode } from "../base/errors.js";
import type { Digest } from "../base/ids.js";
import type { BoundBy, WritableBound } from "./snapshot/disk/bound.js";

export type { BoundBy, WritableBound } from "./snapshot/disk/bound.js";

/** The members of an image's config that decide how a container of it runs (OCI image spec, config.json). */
export interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** "NAME=value". */
  readonly env: readonly string[];
  /** "" when unset. */
  readonly workingDir: string;
  /** "", "1000", "1000:1000", "name", "name:group". */
  readonly user: string;
  /** "SIGQUIT" or "3"; "" when unset. */
  readonly stopSignal: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Paths in the container of directories that are to be volumes, as the image has them. */
  readonly volumes: readonly string[];
  /** "linux/amd64". */
  readonly platform: string;
}

export interface Image {
  /** Digest of the config: CRI Image.id and image_ref. */
  readonly id: Digest;
  /** "registry/name:tag", normalized ("docker.io/library/busybox:latest"). */
  readonly repoTags: readonly string[];
  /** "registry/name@sha256:…". */
  readonly repoDigests: readonly string[];
  /** Packed size of config and layers. */
  readonly sizeBytes: bigint;
  /** As the config has it: "", "1000", "1000:1000", "name", "name:group". */
  readonly user: string;
  /** "linux/amd64". */
  readonly platform: string;
  /** Layer chain ids, lowest first (OCI image spec, ChainID): the snapshots a container of it stands on. */
  readonly chainIds: readonly Digest[];
  /** The configuration keeps it: it can't be removed. */
  readonly pinned: boolean;
}

export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
  /** base64 "user:password". */
  readonly auth: string;
  readonly identityToken: string;
  readonly registryToken: string;
  /** The registry that these are for ("registry.example:5000", "https://index.docker.io/v1/"); "" for any. */
  readonly serverAddress: string;
}

/** Told what a pull does, as it does it: for progress and for figures. What is called returns at once, and never throws. */
export interface PullWatch {
  /** The layers, lowest first, once the manifest and the config are read. */
  planned(layers: readonly PlannedLayer[]): void;
  /** So many bytes more of a blob have come from the registry. */
  received(blob: Digest, bytes: number): void;
}

/** Told of every pull of a store, once however many callers share it: for figures. What is called never throws. */
export interface PullObserver {
  /** `registry`: the host of the reference ("docker.io"), whichever mirror serves it. */
  began(registry: string): ObservedPull;
}

export interface ObservedPull {
  /** So many bytes more have come. A blob that another pull brings is not counted again. */
  received(bytes: number): void;
  /** `failure`: undefined when the image is here. */
  ended(failure: ErrorCode | undefined): void;
}

export interface PlannedLayer {
  readonly digest: Digest;
  /** Packed. */
  readonly sizeBytes: number;
}

/** What a container needs beside its image's tree. */
export interface SnapshotWanted {
  /** Images that it mounts. */
  readonly volumes?: readonly Image[];
  /** Absolute paths in it; each gets a directory with what the image has there, which goes with the snapshot. */
  readonly declared?: readonly string[];
  /** Absent: the file system's own. */
  readonly bound?: WritableBound | undefined;
  /** The image's layers are wanted as files, too. */
  readonly layerFiles?: boolean;
}

/** A container's writable tree over an image's layers. */
export interface WritableSnapshot {
  /** For `Native.mountOverlay`: uppermost first. */
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  /** The directory of both, and of nothing else. */
  readonly written: string;
  /** EROFS images, uppermost first, in place of `lowers`; undefined where they were not wanted, or can't be made. */
  readonly layerFiles: readonly string[] | undefined;
  /** For each volume asked for, in that order, the lowers of a read-only overlay (no upper): two at least. */
  readonly volumeLowers: readonly (readonly string[])[];
  /** For each directory that was to be made, in that order, where it is. */
  readonly declared: readonly string[];
  /** With "file" the host sees upper, work and declared directories until `detachSnapshot`. */
  readonly boundBy: BoundBy;
  /** File or directory whose size is what the container's own writes take of the host's disk. */
  readonly measured: string;
}

export interface FsUsage {
  /** Directory on the file system in question. */
  readonly mountpoint: string;
  /** Number of that file system's device: two with one number are one. */
  readonly device: number;
  readonly usedBytes: bigint;
  readonly inodesUsed: bigint;
}

export interface ImageStore {
  /**
   * Brings an image in from its registry; resolves to it once its layers are unpacked. Callers with one reference
   * share one pull, and only the watch of the first one is told of it. Errors: `notFound` (no such image), `invalidArgument` (malformed reference), `unavailable`
   * (registry), `internal` with the layer's digest (content that does not match, or leaves its root).
   */
  pull(reference: string, auth: RegistryAuth | undefined, signal: AbortSignal, watch?: PullWatch): Promise<Image>;
  /** Imports an OCI layout tar or a docker-archive tar, plain or gzip. */
  importArchive(path: string, signal: AbortSignal): Promise<Image[]>;
  /** Writes images, with all their names, into a tar of an OCI image layout. `notFound` for one that is not here. */
  exportArchive(path: string, references: readonly string[], signal: AbortSignal): Promise<Image[]>;
  /** By tag, short name, digest, name and digest, or id with or without "sha256:" or a prefix of it of 12 digits or more. */
  find(reference: string): Promise<Image | undefined>;
  list(): Promise<Image[]>;
  /** What decides how its containers run; read anew each time, for it can be large. */
  config(image: Image): Promise<ImageConfig>;
  /** The whole config of an image as its blob has it (OCI image spec, config.md), a JSON text. */
  readConfig(image: Image): Promise<string>;
  /** Keys of the snapshots that stand on an image, or mount it, by its id. */
  inUse(): Promise<ReadonlyMap<Digest, readonly string[]>>;
  /**
   * Removes every tag and digest of the image that the reference names; unreachable content goes, from the disk behind the
   * answer unless that is short of space (docs/adr/0137). Unknown: success. `failedPrecondition` for a pinned image.
   */
  remove(reference: string, signal: AbortSignal): Promise<void>;
  /** Removes every image that no snapshot stands on and that isn't pinned; what it has removed. */
  prune(signal: AbortSignal): Promise<Image[]>;
  /**
   * The image's rootfs as lower directories, uppermost first, and a private upper; `key` is the container's id. The layers
   * of the image, and of the volumes that the container mounts, stay until the snapshot goes. `failedPrecondition` where
   * this host can't hold it to the bound that is wanted.
   */
  prepareSnapshot(key: string, image: Image, signal: AbortSignal, wanted?: SnapshotWanted): Promise<WritableSnapshot>;
  /** All that is wanted of it is shared. Success when there is nothing to detach. */
  detachSnapshot(key: string): Promise<void>;
  /**
   * What a container has written is nobody's any more: the end of its mounts writes nothing to the host's disk. It is to be
   * removed. Success when there is none, and for one that no file bounds.
   */
  abandonSnapshot(key: string): Promise<void>;
  /** Success when there is none. */
  removeSnapshot(key: string, signal: AbortSignal): Promise<void>;
  /** Every key that has a snapshot, for recovery. */
  listSnapshots(): Promise<string[]>;
  /** A file of the image's (not the container's) tree, for /etc/passwd and /etc/group; null when there is none, or it is over 1 MiB. */
  readFile(image: Image, path: string): Promise<Buffer | null>;
  /** What removals have let go counts until the disk has it back. */
  imageUsage(): Promise<FsUsage>;
  /** The mount point that `containerUsage` tells, without a look at the disk. */
  readonly containersDirectory: string;
  containerUsage(): Promise<FsUsage>;
  close(): Promise<void>;
}
