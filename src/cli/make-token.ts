import { randomBytes, randomUUID } from "node:crypto";
import { link, rm, writeFile } from "node:fs/promises";
import { errnoOf, RuntimeError, messageOf } from "../base/errors.js";
import { isThere } from "../base/is-there.js";

const tokenBytes = 32;

/**
 * The token of a first start, in the file that the environment names: readable by root alone, there as a whole or not at
 * all. True when it was made. One that is there stays, whatever is in it.
 */
export async function makeTokenFile(path: string): Promise<boolean> {
  if (await isThere(path)) return false;
  const temporary = `${path}.${randomUUID()}.new`;
  try {
    await writeFile(temporary, `${randomBytes(tokenBytes).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
    await link(temporary, path); // never over one that another has made meanwhile
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === "EEXIST") return false;
    throw new RuntimeError("failedPrecondition", `no token in ${path}, and none can be made: ${messageOf(thrown)}`, {
      hint: "set A3S_BOX_TOKEN, or A3S_BOX_TOKEN_FILE to a file on a volume that can be written",
      cause: thrown,
    });
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined); // where none could be made
  }
}
