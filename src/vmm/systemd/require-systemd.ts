import { RuntimeError } from "../../base/errors.js";
import { isThere } from "../../base/is-there.js";

/** sd_booted(3) */
const bootedBy = "/run/systemd/system";

export async function isSystemdRunning(): Promise<boolean> {
  return await isThere(bootedBy);
}

/** Throws `failedPrecondition` where systemd is not who manages this machine. */
export async function requireSystemd(): Promise<void> {
  if (await isSystemdRunning()) return;
  throw new RuntimeError("failedPrecondition", 'cgroup.driver = "systemd", and systemd does not run this machine', {
    stage: "open box factory",
    hint: 'set cgroup.driver = "cgroupfs", and the same in the configuration of a kubelet that does not ask for it',
  });
}
