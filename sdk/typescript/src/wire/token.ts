import { readFile } from "node:fs/promises";
import { nonEmpty } from "../endpoint.js";
import { AuthenticationError } from "../errors.js";
import type { ConnectionOpts } from "../options.js";

/** A file is looked at again after that: whoever rotates tokens restarts nobody. */
const freshMs = 1000;

/** Whose token calls carry. */
export function tokenSource(
  { token, apiKey }: Pick<ConnectionOpts, "token" | "apiKey">,
  env: Readonly<Record<string, string | undefined>>,
): () => Promise<string | undefined> {
  const said = nonEmpty(token) ?? nonEmpty(apiKey);
  const file = nonEmpty(env["A3S_BOX_TOKEN_FILE"]);
  if (said !== undefined || file === undefined) {
    const fixed = said ?? nonEmpty(env["A3S_BOX_TOKEN"]);
    return () => Promise.resolve(fixed);
  }
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<string> | undefined;
  return async () => {
    const now = performance.now();
    if (reading === undefined || now - readAt > freshMs) {
      readAt = now;
      reading = firstLine(file);
    }
    return await reading;
  };
}

async function firstLine(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).split("\n")[0]?.trim() ?? "";
  } catch (cause) {
    throw new AuthenticationError(`the token's file ${file} can't be read (set A3S_BOX_TOKEN_FILE)`, { cause });
  }
}
