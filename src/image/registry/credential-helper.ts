/** `docker-credential-NAME get`. Source: docker/docker-credential-helpers, "Development". */
import { spawn } from "node:child_process";
import * as z from "zod";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { stage } from "../../base/stage.js";
import type { Credentials } from "./credentials.js";

const helperLimitMs = 30_000;
const maxAnswerBytes = 64 * 1024;
const answerSchema = z.object({ Username: z.string(), Secret: z.string() });

/** Undefined: the helper has none for this address. */
export async function askHelper(name: string, address: string, signal: AbortSignal): Promise<Credentials | undefined> {
  if (!/^[A-Za-z0-9_.-]+$/.test(name)) {
    throw new RuntimeError("invalidArgument", `credential helper "${name.slice(0, 100)}" is not a name`);
  }
  const program = `docker-credential-${name}`;
  return await stage(program, helperLimitMs, signal, async (limit) => {
    const { status, output } = await run(program, address, limit);
    // The protocol's own words, printed to stdout (credentials.NewErrCredentialsNotFound).
    if (status !== 0 && output.includes("credentials not found")) return undefined;
    if (status !== 0) {
      throw new RuntimeError("failedPrecondition", `it has failed for ${address} (exit status ${String(status)})`, {
        hint: "run it by hand as the daemon's user",
      });
    }
    const answer = readAnswer(output);
    if (answer === undefined) throw new RuntimeError("failedPrecondition", `its answer for ${address} can't be read`);
    const { Username: username, Secret: secret } = answer;
    return username === "<token>"
      ? { kind: "identity", token: secret }
      : { kind: "password", username, password: secret };
  });
}

function readAnswer(output: string): z.infer<typeof answerSchema> | undefined {
  try {
    return answerSchema.parse(JSON.parse(output));
  } catch {
    return undefined; // its text may hold a secret and is not shown
  }
}

async function run(
  program: string,
  input: string,
  signal: AbortSignal,
): Promise<{ status: number | null; output: string }> {
  return await new Promise((resolve, reject) => {
    const child = spawn(program, ["get"], { stdio: ["pipe", "pipe", "ignore"], signal, killSignal: "SIGKILL" });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      output = (output + chunk).slice(0, maxAnswerBytes);
    });
    child.once("error", (cause) => {
      const hint = "the docker config.json names it; install it, or remove it there";
      reject(new RuntimeError("failedPrecondition", `can't be run: ${messageOf(cause)}`, { hint, cause }));
    });
    child.once("close", (status) => {
      resolve({ status, output });
    });
    child.stdin.on("error", () => undefined).end(`${input}\n`); // a helper that asks nothing may be gone already
  });
}
