import * as z from "zod";
import { boxId } from "../../base/ids.js";
import { attachmentSchema } from "../../net/attachment.js";
import { egressSpec } from "../../net/egress/policy.js";
import type { RecordKind } from "../../store/records.js";
import type { BoxHandle } from "../../vmm/box.js";
import { boundaryName } from "../boundary/boundary.js";
import { servedByHost } from "../served-ports/served-by-host.js";
import { podSpec } from "./pod-spec.js";

const newest = 3;

const hostIds = z.object({ first: z.int(), count: z.int() });

const boxHandle: z.ZodType<BoxHandle> = z.object({
  driver: z.enum(["krun", "qemu", "native"]),
  processes: z.array(z.object({ role: z.enum(["vmm", "fs", "agent"]), pid: z.int(), startTime: z.bigint() })),
  directory: z.string(),
  cgroups: z.array(z.string()),
  idMap: z.object({ uids: hostIds, gids: hostIds }).optional(),
  serverRoot: z.int().positive().optional(),
  sharedBy: z.literal("server").optional(),
  deviceMac: z.string().optional(),
});

/**
 * What is known of a sandbox, as it stands on disk. Facts only: state is computed (`podState`).
 * Fields are added with a default; what changes a field's meaning gets a new version and an upgrade on read: version 1 had
 * CRI's messages in it, which `cri/records` reads (docs/adr/0098); version 2 said "folder" for the Box's directory.
 */
const schema = z.object({
  version: z.literal(newest),
  id: z.string().transform(boxId),
  /** "namespace/name, uid, attempt": for people who read the file. */
  label: z.string(),
  /** What was asked for. */
  spec: podSpec,
  /** What stands between the pod and its host, decided when it was made. */
  boundary: boundaryName,
  /** Of the Box, for as long as it lives: the handler's table may change. Absent in records of earlier daemons. */
  size: z.object({ vcpus: z.int(), memoryMib: z.int() }).optional(),
  createdAtNs: z.bigint(),
  /** "": the host's network. */
  netnsPath: z.string(),
  /** Absent: the sandbox has a loopback only, or has left its network. */
  network: attachmentSchema.optional(),
  /** Ports of the pod that services of the daemon serve. Absent: none. */
  served: z.array(servedByHost).readonly().optional(),
  /** What it may reach now: first as its spec has it. Absent: all that its network lets it. */
  egress: egressSpec.optional(),
  /** Absent until the Box has booted. */
  box: boxHandle.optional(),
  /** Absent: the creation is under way, or the daemon died in it. */
  readyAtNs: z.bigint().optional(),
  /** It stands still since then, until it is resumed. Absent: it runs. */
  pausedAtNs: z.bigint().optional(),
  /** Stopped by request or by the Box's death; it is NOTREADY from then on. */
  end: z.object({ atNs: z.bigint(), reason: z.string() }).optional(),
});

export type PodRecord = Readonly<z.infer<typeof schema>>;

const ofVersion2 = z.looseObject({ box: z.looseObject({ folder: z.string() }).optional() });

/** A record of version 2 as of the newest. Only the name of the Box's directory has changed. */
export function podFromVersion2(raw: object): unknown {
  const { box, ...rest } = ofVersion2.parse(raw);
  if (box === undefined) return { ...rest, version: newest };
  const { folder: directory, ...handle } = box;
  return { ...rest, version: newest, box: { ...handle, directory } };
}

export const podRecords: RecordKind<PodRecord> = {
  name: "sandboxes",
  version: newest,
  schema,
  upgrade: podFromVersion2,
  idOf: (record) => record.id,
};

export const sandboxStates = ["creating", "ready", "notReady"] as const;
export type PodState = (typeof sandboxStates)[number];

export function podState(record: PodRecord): PodState {
  if (record.end !== undefined) return "notReady";
  return record.readyAtNs === undefined ? "creating" : "ready";
}
