/** What is known of a sandbox beside its pod and its container, as it stands on disk. Facts only: states are computed. */
import * as z from "zod";
import { sandboxEnds } from "../../metrics/sandbox-figures.js";
import type { RecordKind } from "../../store/records.js";
import { sandboxName } from "./names.js";
import type { SandboxName } from "./sandbox.js";

const words = z.record(z.string(), z.string()).readonly();
const unixMs = z.int().min(0);

const name = z.string().transform((raw, context): SandboxName => {
  const known = sandboxName(raw);
  if (known !== undefined) return known;
  context.addIssue("is not the name of a sandbox");
  return z.NEVER;
});

/**
 * Env, user, working directory, mounts and image are in the container's record, the size of the Box and its network in the
 * pod's. Fields are added with a default; what changes a field's meaning gets a new version and an upgrade on read.
 */
const schema = z
  .object({
    version: z.literal(1),
    id: name,
    tenant: z.string(),
    /** Who made it, as the audit lines have it: for people. */
    madeBy: z.string(),
    template: z.string(),
    /** As they were granted, from the first moment on: what counts in the tenant's quota. */
    vcpus: z.int().positive(),
    memoryMib: z.int().positive(),
    diskMib: z.int().positive(),
    metadata: words,
    atEnd: z.enum(["end", "pause"]),
    /** 0: it doesn't end for want of use. */
    idleMs: z.int().min(0),
    owner: z.object({ namespace: z.string(), name: z.string(), uid: z.string() }).readonly().exactOptional(),
    /** The image's own program with its arguments. */
    command: z.array(z.string()).readonly().default([]),
    agent: z
      .object({ name: z.string(), kind: z.string(), command: z.array(z.string()).readonly() })
      .readonly()
      .exactOptional(),
    accessToken: z.string(),
    createdAtMs: unixMs,
    endsAtMs: unixMs,
    /** The last use that was written down; later ones are at most a tenth of the idle time later. */
    usedAtMs: unixMs,
    /** Absent: it is being made, or the daemon died in that. */
    ready: z.object({ atMs: unixMs, podId: z.string(), containerId: z.string() }).readonly().exactOptional(),
    /** It is to go, with all that is in it. */
    end: z
      .object({ atMs: unixMs, reason: z.enum(sandboxEnds) })
      .readonly()
      .exactOptional(),
  })
  .readonly();

export type AgentSandboxRecord = z.infer<typeof schema>;

export const agentSandboxRecords: RecordKind<AgentSandboxRecord> = {
  name: "agent-sandboxes",
  version: 1,
  schema,
  idOf: ({ id }) => id,
};
