import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../base/errors.js";
import type { Config } from "../config/config.js";
import { openUsers, usersRoot } from "../image/unpack/users.js";
import { unpackerPath } from "../image/unpack/unpacker.js";
import { loadNative } from "../native/addon.js";
import type { Finding } from "./finding.js";

const probeLimitMs = 10_000;

/** Whether layers can be unpacked by who is nobody on the host: tried on the store's file system. */
export async function unpackersUsersFinding(config: Config): Promise<Finding> {
  const subject = "unpackers' user namespace";
  try {
    const directory = await mkdtemp(join(await nearest(join(config.root, "images")), "a3s-check-"));
    try {
      await probe(config.assets.dir, directory);
    } finally {
      await rm(directory, { recursive: true });
    }
    return { subject, verdict: "OK", detail: "root of a layer's unpacker is nobody on the host" };
  } catch (thrown) {
    const remedy = "a kernel and a file system that map owners (5.19; ext4, xfs), user.max_user_namespaces above 0";
    return { subject, verdict: "optional", detail: messageOf(thrown).trim().split("\n").at(-1) ?? "", remedy };
  }
}

async function probe(assetsDir: string, directory: string): Promise<void> {
  const { native } = loadNative(assetsDir);
  const users = await openUsers(native);
  try {
    const args = ["probe", directory, String(usersRoot)];
    const stdio = ["ignore", "ignore", "pipe", "ignore", users] as const;
    const child = spawn(unpackerPath(assetsDir), args, { stdio: [...stdio], timeout: probeLimitMs });
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString("utf8").slice(0, 1000)));
    await once(child, "close");
    if (child.exitCode !== 0) throw new Error(said === "" ? `the probe ended with ${String(child.exitCode)}` : said);
  } finally {
    await native.closeFd(users);
  }
}

/** The directory itself, or the one above that is there already: of the same file system, most likely. */
export async function nearest(path: string): Promise<string> {
  for (let at = path; at !== "/"; at = dirname(at)) {
    const found = await stat(at).catch(() => undefined);
    if (found?.isDirectory() === true) return at;
  }
  return "/";
}
