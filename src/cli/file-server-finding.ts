import { dirname } from "node:path";
import { messageOf } from "../base/errors.js";
import { isThere } from "../base/is-there.js";
import type { Config } from "../config/config.js";
import { loadNative } from "../native/addon.js";
import { probeOwners } from "../vmm/share/probe-owners.js";
import type { Finding } from "./finding.js";

const subject = "file server's user";
const remedy = "Linux 6.3 or newer (Debian 12: from bookworm-backports), ext4, xfs or btrfs, user namespaces";

/** Who a Box's file server would be on the host: tried where the daemon has its files, or will have them. */
export async function fileServerFinding({ assets, root, state }: Config): Promise<Finding> {
  try {
    const { native } = loadNative(assets.dir);
    const directories = { state: await firstThere(state), layers: await firstThere(root) };
    const verdict = await probeOwners({ native, ...directories, name: `.a3s-box-check-${process.pid}` });
    if (verdict.mapped) return { subject, verdict: "OK", detail: "one of its own, in a user namespace" };
    return { subject, verdict: "optional", detail: `root of the host: ${verdict.why}`, remedy };
  } catch (thrown) {
    return { subject, verdict: "optional", detail: messageOf(thrown), remedy };
  }
}

/** The path, or what there is of it before the daemon's first start. */
async function firstThere(path: string): Promise<string> {
  return path === "/" || (await isThere(path)) ? path : await firstThere(dirname(path));
}
