import { readFile, readlink } from "node:fs/promises";
import { messageOf } from "../base/errors.js";
import { readMountinfo } from "../base/mountinfo.js";
import type { Config } from "../config/config.js";
import type { Finding } from "./finding.js";
import { isDelegated, nodesNamespace, requireNodes } from "./go-outside.js";

/** Whether Boxes will outlive the container that this is, where the configuration wants that. */
export async function outliveFindings({ cgroup }: Pick<Config, "cgroup">): Promise<Finding[]> {
  if (!cgroup.outlivesContainer) return [];
  const subject = "outliving the container";
  try {
    const mounts = await readMountinfo();
    if (isDelegated(mounts)) await readlink(nodesNamespace);
    requireNodes(mounts, await readFile("/proc/self/cgroup", "utf8"));
    return [{ subject, verdict: "OK", detail: "the node's control groups are here" }];
  } catch (thrown) {
    const remedy =
      "hostPID, the node's /sys/fs/cgroup by a hostPath, and SYS_PTRACE; or cgroup.outlive_container = false";
    return [{ subject, verdict: "missing", detail: messageOf(thrown), remedy }];
  }
}
