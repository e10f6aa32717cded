import * as z from "zod";
import { RuntimeError } from "../../../base/errors.js";
import type { EgressFacts } from "../../../net/egress/keeper.js";
import type { EgressWanted } from "../../../net/egress/policy.js";
import type { SandboxFilter, SandboxView, SandboxWanted } from "../../core/sandbox.js";
import { given } from "../given.js";

const texts = z.record(z.string(), z.string());
const whole = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const rules = z.array(z.string().min(1).max(300)).max(1000).default([]);

/** `Egress` of proto/sandboxes/v1. */
export const egressBody = z.strictObject({
  allow_out: rules,
  deny_out: rules,
  rest: z.enum(["allow", "deny"]).optional(),
});

export function egressWanted({ allow_out, deny_out, rest }: z.infer<typeof egressBody>): EgressWanted {
  return { allowOut: allow_out, denyOut: deny_out, ...given("rest", rest) };
}

/** `CreateSandboxRequest` of proto/sandboxes/v1, with its names. */
export const createBody = z.strictObject({
  template: z.string().min(1),
  vcpus: whole.optional(),
  memory_mib: whole.optional(),
  disk_mib: whole.optional(),
  env: texts.default({}),
  user: z.string().optional(),
  working_dir: z.string().optional(),
  mounts: z
    .array(z.strictObject({ host_path: z.string(), path: z.string(), readonly: z.boolean().default(false) }))
    .default([]),
  metadata: texts.default({}),
  network: z.enum(["none", "pod"]).optional(),
  llm: z.array(z.string()).optional(),
  agent: z.string().optional(),
  skills: z.array(z.string()).optional(),
  egress: egressBody.optional(),
  life_ms: whole.optional(),
  idle_ms: whole.optional(),
  at_end: z.enum(["end", "pause"]).optional(),
  ends_with_owner: z.boolean().optional(),
});

export const extendBody = z.strictObject({ life_ms: whole, only_later: z.boolean().default(false) });

export const runBody = z
  .strictObject({
    /** Read by the sandbox's /bin/sh. */
    command: z.string().min(1).optional(),
    args: z.array(z.string()).min(1).optional(),
    env: texts.default({}),
    working_dir: z.string().default(""),
    user: z.string().default(""),
    stdin: z.string().optional(),
    limit_ms: whole.default(0),
  })
  .refine(({ command, args }) => (command === undefined) !== (args === undefined), "either command or args");

export function wantedOf(body: z.infer<typeof createBody>): SandboxWanted {
  const { template, env, metadata, mounts, vcpus, user, network } = body;
  return {
    template,
    env,
    metadata,
    mounts: mounts.map(({ host_path, path, readonly }) => ({ hostPath: host_path, path, readonly })),
    ...given("vcpus", vcpus),
    ...given("memoryMib", body.memory_mib),
    ...given("diskMib", body.disk_mib),
    ...given("user", user),
    ...given("workingDir", body.working_dir),
    ...given("network", network),
    ...given("llm", body.llm),
    ...given("agent", body.agent),
    ...given("skills", body.skills),
    ...given("egress", body.egress === undefined ? undefined : egressWanted(body.egress)),
    ...given("lifeMs", body.life_ms),
    ...given("idleMs", body.idle_ms),
    ...given("atEnd", body.at_end),
    ...given("endsWithOwner", body.ends_with_owner),
  };
}

const states = z.array(z.enum(["starting", "running", "paused", "ended"]));
const metadataPrefix = "metadata.";

/** `?metadata.NAME=VALUE&state=running,paused&template=NAME`. */
export function filterOf(query: URLSearchParams): SandboxFilter {
  const metadata: [string, string][] = [];
  for (const [name, value] of query) {
    if (name.startsWith(metadataPrefix)) metadata.push([name.slice(metadataPrefix.length), value]);
  }
  const asked = query.get("state");
  const found = states.safeParse(asked?.split(","));
  if (asked !== null && !found.success) throw new RuntimeError("invalidArgument", `state has no value ${asked}`);
  return {
    ...given("metadata", metadata.length === 0 ? undefined : Object.fromEntries(metadata)),
    ...given("states", found.data),
    ...given("template", query.get("template") ?? undefined),
  };
}

/** `Sandbox` of proto/sandboxes/v1, with its names. */
export function sandboxJson(view: SandboxView): unknown {
  return {
    id: view.id,
    tenant: view.tenant,
    template: view.template,
    image: view.image,
    state: view.state,
    started_at: timeOf(view.startedAtMs),
    ends_at: timeOf(view.endsAtMs),
    vcpus: view.vcpus,
    memory_mib: view.memoryMib,
    disk_mib: view.diskMib,
    env: view.env,
    user: view.user,
    working_dir: view.workingDir,
    mounts: view.mounts.map(({ hostPath, path, readonly }) => ({ host_path: hostPath, path, readonly })),
    metadata: view.metadata,
    network: view.network,
    egress: egressJson(view),
    agent: view.agent ?? null,
    at_end: view.atEnd,
    ends_with_owner: view.endsWithOwner,
    pod_id: view.podId,
    container_id: view.containerId,
  };
}

/** null where it has no rules. */
function egressJson({ egress }: SandboxView): unknown {
  return egress === undefined ? null : { allow_out: egress.allowOut, deny_out: egress.denyOut, rest: egress.rest };
}

/** `GetSandboxEgressResponse` of proto/sandboxes/v1. */
export function egressFactsJson(view: SandboxView, { refused, destinations, names }: EgressFacts): unknown {
  const nowMs = Date.now();
  return {
    egress: egressJson(view),
    refused,
    destinations: destinations.map(({ agoS, ...one }) => ({ ...one, last_at: timeOf(nowMs - agoS * 1000) })),
    names: names.map(({ count, atMs, ...one }) => ({ ...one, questions: count, last_at: timeOf(atMs) })),
  };
}

/** null where there is no such time: a sandbox that never ends. */
function timeOf(ms: number): string | null {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
