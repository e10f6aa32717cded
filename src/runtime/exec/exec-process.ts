import { randomBytes } from "node:crypto";
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import type { ProcessRef } from "../../gen/agent/v1/agent.js";
import type { Box } from "../../vmm/box.js";
import type { Deps } from "../deps.js";
import { execProcess } from "../spec/build-spec.js";
import type { OciProcess } from "../spec/oci.js";
import { oomScoreAdj } from "../spec/resources.js";
import type { Container } from "../container/container.js";
import { undoLimitMs } from "../container/limits.js";
import type { ExecSpec } from "./exec-spec.js";

/** `failedPrecondition` unless the container runs. */
export function requireRunning(container: Pick<Container, "id" | "state">): void {
  if (container.state === "running") return;
  throw new RuntimeError("failedPrecondition", `container ${shortId(container.id)} is ${container.state}`, {
    hint: "commands run in running containers only",
  });
}

/**
 * Starts a program in a running container for as long as `use` takes; then what is left of it is killed. `kind` begins
 * its id: "sync", "exec".
 */
export async function withExec<T>(
  container: Container,
  kind: string,
  spec: ExecSpec,
  deps: Deps,
  signal: AbortSignal,
  use: (process: ProcessRef, box: Box) => Promise<T>,
): Promise<T> {
  requireRunning(container);
  const box = await deps.sandboxes.require(container.sandboxId).liveBox(signal);
  const process: ProcessRef = { sessionId: container.id, execId: `${kind}-${randomBytes(8).toString("hex")}` };
  try {
    await start(container, process, spec, box, signal);
    return await use(process, box);
  } finally {
    await forget(process, box, deps);
  }
}

async function start(
  container: Container,
  process: ProcessRef,
  { args, terminal, stdin }: ExecSpec,
  box: Box,
  signal: AbortSignal,
): Promise<void> {
  const ociProcess = Buffer.from(JSON.stringify(execProcess(processOf(container), args, terminal)));
  try {
    await box.agent.startExec({ ...process, ociProcess, stdin }, signal);
  } catch (thrown) {
    // The container is there; what isn't is the program. NOT_FOUND would say something else to a CRI client.
    if (codeOf(thrown) !== "notFound") throw thrown;
    throw new RuntimeError("failedPrecondition", messageOf(thrown), { cause: thrown });
  }
}

/** What an exec is made from: with the OOM score that the container has now, and not the one that it was made with. */
export function processOf({ record, resources }: Container): OciProcess {
  const score = oomScoreAdj(resources);
  return score === undefined ? record.process : { ...record.process, oomScoreAdj: score };
}

/** Kills what is left of it. The agent does that with the session too: a failure here is not the command's. */
async function forget(process: ProcessRef, box: Box, deps: Deps): Promise<void> {
  if (box.exit !== undefined) return;
  try {
    await box.agent.forgetExec(process.sessionId, process.execId, AbortSignal.timeout(undoLimitMs));
  } catch (thrown) {
    deps.log.warn({ containerId: process.sessionId, err: messageOf(thrown) }, "exec could not be forgotten");
  }
}
