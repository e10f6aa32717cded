import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseMountinfo } from "../../base/mountinfo.js";
import type { BoxHandle } from "../../vmm/box.js";
import { boxDirectoryAt } from "../../vmm/box-directory.js";
import { serverOf } from "../../vmm/drivers/parts.js";

/** Where libkrun's jail has the share (launcher/jail.h); virtiofsd's root is the share itself. */
const inJail = "/share";

/**
 * What is mounted in a Box's share, by the paths on the host that records have. Of one whose mounts are among its file
 * server's it is what that process is shown; nothing when it has ended, or when the host's mounts have it all.
 */
export async function shareMountsOf({ driver, processes, directory, sharedBy }: BoxHandle): Promise<string[]> {
  if (sharedBy !== "server" || driver === "native") return [];
  const server = serverOf(driver, processes);
  const text = await readFile(`/proc/${String(server?.pid)}/mountinfo`, "utf8").catch(() => "");
  const top = driver === "krun" ? inJail : "";
  return parseMountinfo(text)
    .map(({ target }) => target)
    .filter((target) => target === (top === "" ? "/" : top) || target.startsWith(`${top}/`))
    .map((target) => join(boxDirectoryAt(directory).share, target.slice(top.length)))
    .map((target) => target.replace(/\/$/, ""));
}
