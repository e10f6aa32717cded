import * as z from "zod";
import { boxId } from "../../base/ids.js";
import { PodSandboxConfig } from "../../gen/runtime/v1/api.js";
import { attachmentSchema } from "../../net/attachment.js";
import type { RecordKind } from "../../store/records.js";
import type { BoxHandle } from "../../vmm/box.js";

const hostIds = z.object({ first: z.int(), count: z.int() });

const boxHandle: z.ZodType<BoxHandle> = z.object({
  driver: z.enum(["krun", "qemu", "native"]),
  processes: z.array(z.object({ role: z.enum(["vmm", "fs", "agent"]), pid: z.int(), startTime: z.bigint() })),
  folder: z.string(),
  cgroups: z.array(z.string()),
  idMap: z.object({ uids: hostIds, gids: hostIds }).optional(),
  serverRoot: z.int().positive().optional(),
});

/**
 * What is known of a sandbox, as it stands on disk. Facts only: state is computed (`sandboxState`).
 * Fields are added with a default; what changes a field's meaning gets a new version and an upgrade on read.
 */
const schema = z.object({
  version: z.literal(1),
  id: z.string().transform(boxId),
  /** "namespace/name, uid, attempt": for people who read the file. */
  label: z.string(),
  /** The request's config as it came: the CRI message's own encoding, which later versions of CRI can read. */
  config: z.base64(),
  runtimeHandler: z.string(),
  /** Of the Box, for as long as it lives: the handler's table may change. Absent in records of earlier daemons. */
  size: z.object({ vcpus: z.int(), memoryMib: z.int() }).optional(),
  createdAtNs: z.bigint(),
  /** "": the host's network. */
  netnsPath: z.string(),
  /** Absent: the sandbox has a loopback only, or has left its network. */
  network: attachmentSchema.optional(),
  /** Absent until the Box has booted. */
  box: boxHandle.optional(),
  /** Absent: the creation is under way, or the daemon died in it. */
  readyAtNs: z.bigint().optional(),
  /** Stopped by request or by the Box's death; it is NOTREADY from then on. */
  end: z.object({ atNs: z.bigint(), reason: z.string() }).optional(),
});

export type SandboxRecord = Readonly<z.infer<typeof schema>>;

export const sandboxRecords: RecordKind<SandboxRecord> = {
  name: "sandboxes",
  schema,
  idOf: (record) => record.id,
};

export const sandboxStates = ["creating", "ready", "notReady"] as const;
export type SandboxState = (typeof sandboxStates)[number];

export function sandboxState(record: SandboxRecord): SandboxState {
  if (record.end !== undefined) return "notReady";
  return record.readyAtNs === undefined ? "creating" : "ready";
}

export function encodeConfig(config: PodSandboxConfig): string {
  return Buffer.from(PodSandboxConfig.encode(config).finish()).toString("base64");
}

export function decodeConfig(encoded: string): PodSandboxConfig {
  return PodSandboxConfig.decode(Buffer.from(encoded, "base64"));
}
