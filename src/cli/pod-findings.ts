import { execFile } from "node:child_process";
import { release } from "node:os";
import { promisify } from "node:util";
import { messageOf } from "../base/errors.js";
import { readMountinfo } from "../base/mountinfo.js";
import type { Config } from "../config/config.js";
import { findProgram, runcProgram } from "../vmm/choose-driver.js";
import { requireUnifiedCgroup } from "../vmm/cgroup/limit-facts.js";
import { isSystemdRunning } from "../vmm/systemd/require-systemd.js";
import type { Finding } from "./finding.js";

const versionLimitMs = 10_000;

/** What pods of the host need: runc, and cgroup v2. Without them nothing starts where the configuration has such pods. */
export async function nativeFinding({ handlers, hostNamespaces, native }: Config): Promise<Finding> {
  const subject = "runc (pods without a Box)";
  const wanted = hostNamespaces === "native" || Object.values(handlers).some(({ driver }) => driver === "native");
  try {
    const path = await findProgram(runcProgram, native.runc);
    requireUnifiedCgroup(await readMountinfo(), release());
    const { stdout } = await promisify(execFile)(path, ["--version"], { timeout: versionLimitMs });
    return { subject, verdict: "OK", detail: `${path}: ${stdout.split("\n")[0] ?? ""}` };
  } catch (thrown) {
    const remedy = wanted
      ? "or take native out of handlers and host_namespaces"
      : "only where the configuration has such pods";
    return { subject, verdict: wanted ? "missing" : "optional", detail: messageOf(thrown), remedy };
  }
}

/** Who makes the groups, against who runs the machine. */
export async function cgroupDriverFinding(
  { cgroup: { driver } }: Pick<Config, "cgroup">,
  hasSystemd = isSystemdRunning,
): Promise<Finding> {
  const subject = "cgroup driver";
  const runs = await hasSystemd();
  if (driver === "systemd" && !runs) {
    const detail = "systemd is set, and does not run this machine";
    return { subject, verdict: "missing", detail, remedy: 'cgroup.driver = "cgroupfs", for kubelet too' };
  }
  if (driver === "cgroupfs" && runs) {
    const detail = "cgroupfs, where systemd makes cgroups too: each may undo what the other has set";
    return { subject, verdict: "optional", detail, remedy: 'cgroup.driver = "systemd", for a kubelet before 1.34 too' };
  }
  return { subject, verdict: "OK", detail: driver };
}
