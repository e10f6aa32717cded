import { RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { sideBySide, stage } from "../../base/stage.js";
import type { BoxSpec } from "../box.js";
import type { MachineDriver } from "../driver-name.js";
import { mostProcesses } from "../cgroup/limit-processes.js";
import { moveBox } from "../cgroup/move.js";
import { isOwnParent, type CgroupPlan } from "../cgroup/plan.js";
import type { RunningBox } from "../running-box.js";

/**
 * A Box that has not answered by then is not had. Where it is emulated another one takes longer to come up, and a busy host
 * makes all of them slow: it may take its time, beside the network's plugins.
 */
const answerMs: Readonly<Record<MachineDriver, number>> = { krun: 200, qemu: 1_000 };
const moveLimitMs = 20_000;

/** Gives a Box of the pool to its pod: it answers, and its processes are in the groups that its record names by now. */
export async function claimBox(
  box: RunningBox,
  spec: BoxSpec,
  to: CgroupPlan,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { driver, cgroups } = box.handle;
  if (driver === "native") throw new RuntimeError("internal", "a pod of the host has no Box to be ready");
  const strict = !isOwnParent(spec.cgroupParent);
  const moving = { id: box.id, from: cgroups, to, strict, processes: mostProcesses("leaf", spec) };
  await sideBySide(
    signal,
    (both) => stage("ask ready box", answerMs[driver], both, (limited) => box.agent.hello(limited)),
    (both) => stage("move ready box", moveLimitMs, both, (limited) => moveBox(moving, log, limited)),
  );
  box.movedTo(to.directories);
  await box.setOomScore(spec.oomScore ?? 0);
  if (box.exit !== undefined) throw new RuntimeError("unavailable", box.exit.reason);
}
