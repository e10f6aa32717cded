/** The agents' edge on a Unix socket, asked by curl. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const maxBuffer = 1 << 24;

/** The answer's JSON, also of a refusal; undefined where it has no body. */
export async function edgeAnswer(socket: string, method: string, path: string, body?: unknown): Promise<unknown> {
  return await asked(socket, method, path, body, []);
}

/** The same; a refusal is an error. */
export async function edgeCall(socket: string, method: string, path: string, body?: unknown): Promise<unknown> {
  return await asked(socket, method, path, body, ["--fail-with-body"]);
}

async function asked(
  socket: string,
  method: string,
  path: string,
  body: unknown,
  flags: readonly string[],
): Promise<unknown> {
  const sent = body === undefined ? [] : ["--data-binary", "@-"];
  const args = ["-sS", ...flags, "--unix-socket", socket, "-X", method, ...sent, `http://localhost${path}`];
  const curl = promisify(execFile)("curl", args, { maxBuffer });
  curl.child.stdin?.end(body === undefined ? "" : JSON.stringify(body));
  const { stdout } = await curl;
  return stdout === "" ? undefined : JSON.parse(stdout);
}
