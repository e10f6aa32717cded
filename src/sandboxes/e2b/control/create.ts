/** POST /sandboxes and /v2/sandboxes. */
import * as z from "zod";
import { RuntimeError } from "../../../base/errors.js";
import type { SandboxWanted } from "../../core/sandbox.js";
import { sendJson } from "../answer.js";
import { jsonBody } from "../../http/read-body.js";
import type { ControlCall } from "./call.js";
import { networkOf, networkRules } from "./network.js";
import { sandboxOf } from "./shapes.js";

const mostBytes = 1024 * 1024;
const mostPairs = 256;
const mostSeconds = 366 * 24 * 3600;
/** E2B's own, where the client says nothing. */
const usualSeconds = { first: 15, later: 300 };

export const seconds = z.int().min(0).max(mostSeconds);
const few = (all: object): boolean => Object.keys(all).length <= mostPairs;
const pairs = z.record(z.string().min(1).max(256), z.string().max(8192)).refine(few, "too many").default({});
const variables = z
  .record(
    z.string().regex(/^[^=\0]{1,256}$/),
    z
      .string()
      .max(128 * 1024)
      .refine((text) => !text.includes("\0"), "has a NUL"),
  )
  .refine(few, "too many")
  .default({});

const newSandbox = z.object({
  templateID: z.string().min(1).max(1024),
  timeout: seconds.optional(),
  metadata: pairs,
  envVars: variables,
  autoPause: z.boolean().default(false),
  autoPauseMemory: z.boolean().default(true),
  autoResume: z.object({ enabled: z.boolean().default(false) }).optional(),
  allow_internet_access: z.boolean().optional(),
  network: networkRules.optional(),
  volumeMounts: z.array(z.unknown()).max(mostPairs).default([]),
  mcp: z.unknown().optional(),
  iam: z.object({ tokens: z.record(z.string(), z.unknown()).default({}) }).optional(),
});
type NewSandbox = z.infer<typeof newSandbox>;

export async function create(call: ControlCall): Promise<void> {
  const { caller, options, request, response, version } = call;
  const wanted = wantedOf(await jsonBody(request.message, mostBytes, newSandbox), version);
  const view = await options.sandboxes.create(caller, wanted, request.signal);
  sendJson(response, 201, sandboxOf(view, options.domain));
}

function wantedOf(asked: NewSandbox, version: number): SandboxWanted {
  refuseWhatIsNotBuilt(asked);
  const life = asked.timeout ?? (version === 1 ? usualSeconds.first : usualSeconds.later);
  return {
    template: asked.templateID,
    env: asked.envVars,
    metadata: asked.metadata,
    mounts: [],
    lifeMs: life * 1000,
    atEnd: asked.autoPause ? "pause" : "end",
    ...networkOf(asked.network, asked.allow_internet_access),
  };
}

function refuseWhatIsNotBuilt(asked: NewSandbox): void {
  const parts = [
    asked.volumeMounts.length > 0 ? "volumeMounts" : [],
    asked.mcp === undefined ? [] : "mcp",
    Object.keys(asked.iam?.tokens ?? {}).length > 0 ? "iam" : [],
    asked.autoResume?.enabled === true ? "autoResume" : [],
    asked.autoPauseMemory ? [] : "autoPauseMemory: false (the disk alone)",
  ].flat();
  if (parts.length > 0) throw new RuntimeError("unimplemented", `${parts.join(", ")}: not built`);
}
