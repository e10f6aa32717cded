import { randomBytes } from "node:crypto";
import { posix } from "node:path";
import { Cleanup } from "../../base/cleanup.js";
import { RuntimeError } from "../../base/errors.js";
import { anyOf, whyAborted } from "../../base/signals.js";
import { operation, stage } from "../../base/stage.js";
import type { Image, ImageConfig, PullWatch } from "../../image/image-store.js";
import { createInPod } from "../../runtime/container/create-in-pod.js";
import { createLimitMs, startLimitMs, undoLimitMs } from "../../runtime/container/limits.js";
import { startContainerIn } from "../../runtime/container/start.js";
import { runPod } from "../../runtime/pod/run-pod.js";
import type { Caller } from "./caller.js";
import type { Core } from "./core.js";
import { removeLogs } from "./logs.js";
import { writeAgentFiles } from "./agent-files.js";
import { checkSkills, checkSources } from "./mount-sources.js";
import type { SandboxPlan } from "./plan.js";
import { podOf, removePod } from "./pod-of.js";
import { readyCheck } from "./ready-check.js";
import type { AgentSandboxRecord } from "./record.js";
import type { SandboxName } from "./sandbox.js";
import { containerSpecOf, podSpecOf } from "./specs.js";

/** Each write of a record. */
const stepLimitMs = 20_000;
/** A pull that stalls ends itself; this is for one that is slow without an end. */
const pullLimitMs = 1_800_000;
/** A Box may take its time to end: over the engine's own limits. */
const undoPodLimitMs = undoLimitMs * 4;
const tokenBytes = 24;

export function firstRecord(id: SandboxName, caller: Caller, plan: SandboxPlan, nowMs: number): AgentSandboxRecord {
  return {
    version: 1,
    id,
    tenant: caller.tenant,
    madeBy: caller.name,
    template: plan.template,
    ...{ vcpus: plan.vcpus, memoryMib: plan.memoryMib, diskMib: plan.diskMib },
    metadata: { ...plan.metadata },
    atEnd: plan.atEnd,
    idleMs: plan.idleMs,
    ...(plan.owner === undefined ? {} : { owner: plan.owner }),
    command: [],
    ...agentOf(plan),
    accessToken: randomBytes(tokenBytes).toString("base64url"),
    createdAtMs: nowMs,
    endsAtMs: nowMs + plan.lifeMs,
    usedAtMs: nowMs,
  };
}

function agentOf({ agent }: SandboxPlan): Pick<AgentSandboxRecord, "agent"> {
  if (agent === undefined) return {};
  const { name, kind, command } = agent;
  return { agent: { name, kind, command: [...command] } };
}

/**
 * Makes a sandbox whose first record is there, up to where it may be handed out. Whatever fails, all that had been made is
 * taken back, the record last. A caller that has gone (`caller`) has no sandbox: what the engine has begun it ends first.
 */
export async function createSandbox(
  record: AgentSandboxRecord,
  plan: SandboxPlan,
  core: Core,
  { caller, watch }: CreationOf,
): Promise<void> {
  const { engine } = core;
  const bootLimitMs = engine.config.sandbox.runTimeoutMs;
  const limitMs = pullLimitMs + bootLimitMs + createLimitMs + startLimitMs + plan.readyTimeoutMs + 4 * stepLimitMs;
  await operation(`create sandbox ${record.id}`, limitMs, engine.closing, (signal) =>
    build(record, plan, core, { signal, wanted: anyOf(signal, caller), watch }),
  );
}

/** Who waits for it, and who is told of its pull. */
export interface CreationOf {
  readonly caller: AbortSignal;
  readonly watch: PullWatch | undefined;
}

interface Signals {
  readonly watch: PullWatch | undefined;
  readonly signal: AbortSignal;
  /** Aborted also when the caller has gone. */
  readonly wanted: AbortSignal;
}

async function build(
  record: AgentSandboxRecord,
  plan: SandboxPlan,
  core: Core,
  { signal, wanted, watch }: Signals,
): Promise<void> {
  const { engine, records, log } = core;
  const { id, tenant } = record;
  await using undoRecord = new Cleanup(log, undoLimitMs);
  undoRecord.add("remove record", () => records.remove(id));
  await stage("write record", stepLimitMs, signal, () => records.add(record));
  const sources = await checkSources(plan.mounts, tenant, core, wanted);
  const within = sources.map((source) => source.within);
  const skills = await checkSkills(plan.skills, tenant, core, wanted);
  const image = await engine.images.config(await haveImage(plan.image, core, wanted, watch));
  /** What would run in a container that names no program. */
  const command = [...image.entrypoint, ...image.cmd];

  await using undo = new Cleanup(log, undoPodLimitMs);
  undo.add("remove its log", () => removeLogs(engine.config.root, id));
  undo.add("remove pod", (limit) => removePod(podOf(record, engine), engine, limit));
  const podId = await runPod(podSpecOf(id, tenant, plan, { root: engine.config.root, skills }), engine, signal);
  goOn(wanted);
  const spec = containerSpecOf(inImage(plan, image), engine.config.assets.dir, within);
  const containerId = await createInPod(podId, spec, engine, signal);
  const container = engine.containers.require(containerId);
  await startContainerIn(container, engine);
  goOn(wanted);
  await writeAgentFiles(plan.agent, container, engine, wanted);
  const { readyCommand, readyTimeoutMs } = plan;
  if (readyCommand.length > 0) {
    await stage("ready check", readyTimeoutMs, wanted, (limit) => readyCheck(container, readyCommand, engine, limit));
  }
  goOn(wanted);
  undo.add("forget its inside", (limit) => core.insides.remove(id, limit));
  await core.insides.open(id, container);
  const atMs = Date.now();
  const change = { command, ready: { atMs, podId, containerId }, endsAtMs: atMs + plan.lifeMs, usedAtMs: atMs };
  await stage("record ready", stepLimitMs, signal, () => records.update(id, change));
  undo.release();
  undoRecord.release();
}

function goOn(wanted: AbortSignal): void {
  if (wanted.aborted) throw whyAborted(wanted);
}

async function haveImage(
  name: string,
  { engine: { images }, config }: Core,
  signal: AbortSignal,
  watch: PullWatch | undefined,
): Promise<Image> {
  const found = await images.find(name);
  if (found !== undefined) return found;
  if (config.pull === "never") {
    throw new RuntimeError("notFound", `image ${JSON.stringify(name)} is not on this node`, {
      hint: 'bring it with `image pull` or `image import`, or set sandboxes.pull = "missing"',
    });
  }
  return await stage("pull image", pullLimitMs, signal, (limit) => images.pull(name, undefined, limit, watch));
}

/** Where neither caller nor template says it, the working directory is the image's: of programs, of files, and as it is told. */
function inImage(plan: SandboxPlan, { workingDir }: Pick<ImageConfig, "workingDir">): SandboxPlan {
  if (plan.workingDir !== "" || workingDir === "") return plan;
  return { ...plan, workingDir: posix.resolve("/", workingDir) };
}
