import { codeOf, RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import type { Container } from "../../runtime/container/container.js";
import type { Deps } from "../../runtime/deps.js";
import { execAndWait, type ExecResult } from "../../runtime/exec/exec.js";

const pauseMs = 200;
/** One try; one that hangs is killed, and tried again. */
const tryLimitMs = 10_000;
/** Of what the last try said, for the error. */
const saidBytes = 400;

/** Until the command has exited with 0; `signal` has the limit. Throws what the last try said. */
export async function readyCheck(
  container: Container,
  command: readonly string[],
  engine: Deps,
  signal: AbortSignal,
): Promise<void> {
  let last = "it has not ended once";
  for (;;) {
    try {
      const result = await execAndWait(container, command, tryLimitMs, engine, signal);
      if (result.exitCode === 0) return;
      last = `exit status ${String(result.exitCode)}: ${said(result)}`;
    } catch (thrown) {
      if (codeOf(thrown) !== "deadlineExceeded" && !isAborted(signal)) throw thrown;
      if (!isAborted(signal)) last = `no end within ${String(tryLimitMs)} ms`;
    }
    if (!(await slept(signal))) break;
  }
  throw new RuntimeError("deadlineExceeded", `the sandbox is not ready: ${last}`, {
    hint: "see ready_command and start_command of its template",
  });
}

async function slept(signal: AbortSignal): Promise<boolean> {
  return await sleep(pauseMs, signal).then(
    () => true,
    () => false,
  );
}

/** As it is now: the compiler takes the answer before a wait for the answer after it. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

function said({ stdout, stderr }: ExecResult): string {
  return JSON.stringify((stderr.length > 0 ? stderr : stdout).subarray(-saidBytes).toString("utf8").trim());
}
