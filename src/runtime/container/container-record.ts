import * as z from "zod";
import { boxId, containerId, digest } from "../../base/ids.js";
import type { RecordKind } from "../../store/records.js";
import { containerSpec } from "./container-spec.js";
import { resourceSpec } from "./resource-spec.js";

const newest = 2;

const linuxId = z.int().min(0).max(4294967295);
const strings = z.array(z.string()).readonly();

/** OCI `process` of the container's init; execs are made from it. */
const ociProcess = z.object({
  terminal: z.boolean(),
  user: z.object({ uid: linuxId, gid: linuxId, additionalGids: z.array(linuxId).readonly() }),
  args: strings,
  env: strings,
  cwd: z.string(),
  capabilities: z.object({
    bounding: strings,
    effective: strings,
    permitted: strings,
    inheritable: strings,
    ambient: strings,
  }),
  rlimits: z.array(z.object({ type: z.string(), soft: z.int(), hard: z.int() })).readonly(),
  noNewPrivileges: z.boolean(),
  oomScoreAdj: z.int().exactOptional(),
  apparmorProfile: z.string().exactOptional(),
});

const exitFact = z.object({
  atNs: z.bigint(),
  code: z.int(),
  /** "Completed", "Error", "OOMKilled", "StartError". */
  reason: z.string(),
  message: z.string(),
});

/**
 * What is known of a container, as it stands on disk. Facts only: state is computed (`containerState`).
 * Fields are added with a default; what changes a field's meaning gets a new version and an upgrade on read: version 1 had
 * CRI's messages in it, which `cri/records` reads (docs/adr/0098).
 */
const schema = z.object({
  version: z.literal(newest),
  id: z.string().transform(containerId),
  sandboxId: z.string().transform(boxId),
  /** "name, attempt": for people who read the file. */
  label: z.string(),
  /** What was asked for; its image volumes are named by the ids of their images. */
  spec: containerSpec,
  image: z.object({
    id: z.string().transform(digest),
    /** "registry/name@sha256:…", or the id where none is known. */
    reference: z.string(),
    /** What people call it: its first tag, else what the request said. */
    name: z.string(),
  }),
  /** Absolute; "": no log. */
  logPath: z.string(),
  process: ociProcess,
  /** The rest of the OCI spec that the agent was given, as JSON (`recordedSpec`): for people. */
  ociSpec: z.string().exactOptional(),
  /** Of init, as the agent numbers it: the guest's, or the host's in a pod of the host. */
  pid: z.int().exactOptional(),
  /** Linux number. */
  stopSignal: z.int(),
  /** Entries of the share that the container owns, on the host. */
  sharedPaths: strings,
  /** Those of `sharedPaths` of which the guest has a copy that the daemon keeps up to date. */
  mirroredPaths: strings.default([]),
  /** Those below which it sees the host's mounts come and go, each with the source that it is a bind of. */
  followed: z
    .array(z.object({ place: z.string(), source: z.string() }))
    .readonly()
    .default([]),
  /** What has the size of the container's writable layer: that tree, or the file that it is in. */
  upper: z.string().exactOptional(),
  /** After an update; absent: as in the spec. */
  resources: resourceSpec.exactOptional(),
  createdAtNs: z.bigint(),
  /** Why it will never start although it was created: what the agent said. */
  startFailure: z.string().exactOptional(),
  startedAtNs: z.bigint().exactOptional(),
  /** Observed, never wished for. Written after the last byte of the log. */
  exit: exitFact.exactOptional(),
});

export type ContainerRecord = Readonly<z.infer<typeof schema>>;
export type ContainerExit = Readonly<z.infer<typeof exitFact>>;

export const containerRecords: RecordKind<ContainerRecord> = {
  name: "containers",
  version: newest,
  schema,
  idOf: (record) => record.id,
};

export const containerStates = ["created", "running", "exited"] as const;
export type ContainerStateName = (typeof containerStates)[number];

export function containerState(record: Pick<ContainerRecord, "exit" | "startedAtNs">): ContainerStateName {
  if (record.exit !== undefined) return "exited";
  return record.startedAtNs === undefined ? "created" : "running";
}
