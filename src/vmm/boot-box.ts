import { mkdir } from "node:fs/promises";
import { Cleanup } from "../base/cleanup.js";
import { monotonicMs } from "../base/clock.js";
import { RuntimeError, codeOf, errnoOf, messageOf } from "../base/errors.js";
import { shortId } from "../base/ids.js";
import type { Logger } from "../base/log.js";
import { stage } from "../base/stage.js";
import { anyOf } from "../base/signals.js";
import type { Native } from "../native/addon.js";
import { connectAgent } from "./agent/connect-agent.js";
import type { BoxHandle, BoxSpec } from "./box.js";
import { serverRootOf, templateMac } from "./box-ids.js";
import { boxDirectoryOf, boxesDirectory, boxesMode, writeBoxRecord, type BoxDirectory } from "./box-directory.js";
import { BoxProcesses } from "./box-processes.js";
import { explainExit } from "./explain-exit.js";
import { discardBox } from "./discard-box.js";
import type { Driver, SnapshotUse } from "./drivers/driver.js";
import { partsOf } from "./drivers/parts.js";
import { createBoxCgroup, type BoxCgroup } from "./cgroup/create.js";
import { mostProcesses } from "./cgroup/limit-processes.js";
import { isOwnParent, planBoxCgroup, type CgroupSettings } from "./cgroup/plan.js";
import { RunningBox } from "./running-box.js";
import { orWhySilent } from "./silent-boot.js";
import type { OwnersVerdict } from "./share/probe-owners.js";
import { BoxNamespace } from "./user-namespace.js";

export interface BootDeps {
  readonly native: Native;
  readonly log: Logger;
  readonly driver: Driver;
  readonly state: string;
  /** Directory of the guest base. */
  readonly guestBase: string;
  readonly bootTimeoutMs: number;
  /** For the agent, on the kernel's command line. */
  readonly kernelParameters: readonly string[];
  readonly healthTimeoutMs: number;
  readonly cgroups: CgroupSettings;
  /** Whether what serves a share can be in a user namespace. */
  readonly owners: OwnersVerdict;
  /** Absent: the machine boots. */
  readonly snapshot?: SnapshotUse;
}

const undoLimitMs = 15_000;
/** Steps that only make directories and mounts. */
const stepLimitMs = 20_000;
/** What a guest and a VMM can write to their logs before the rest is lost. */
const logsBytes = 4 * 1024 * 1024;

/**
 * Makes a Box: directory, share, cgroup, file server, VMM, and waits for the agent's hello. The trail in `box.json` is
 * there before what it names can be lost, so that `discardBox` finds everything at any point.
 */
export async function bootBox(deps: BootDeps, spec: BoxSpec, signal: AbortSignal): Promise<RunningBox> {
  if (deps.driver.name !== "native") checkMachine(spec);
  checkIds(deps.driver, spec);
  const beganMs = monotonicMs();
  const directory = boxDirectoryOf(deps.state, spec.id);
  await using undo = new Cleanup(deps.log, undoLimitMs);
  await stage(`boot box ${shortId(spec.id)}`, stepLimitMs, signal, () => makeDirectory(deps, directory));
  try {
    undo.add("discard box", (limited) => discardBox(deps, spec.id, directory, undefined, limited));
    const cgroup = await stage("prepare box", stepLimitMs, signal, () => prepare(deps, spec, directory, signal));
    const box = await bringUp(deps, spec, { directory, cgroup, undo, beganMs }, signal);
    undo.release();
    return box;
  } catch (thrown) {
    throw await explained(thrown, spec, directory); // before the clean-up takes the logs away
  }
}

function checkIds({ name, idMapping }: Driver, { idMap }: BoxSpec): void {
  if (idMap === undefined || idMapping.by !== "none") return;
  throw new RuntimeError("invalidArgument", `the driver ${name} can't show other owners than the host's`);
}

/** Where the share's mounts are, how they show owners, and how the guest knows its device. */
function shareFacts(
  { driver, owners, snapshot }: BootDeps,
  { id, idMap, tap }: BoxSpec,
): Pick<BoxHandle, "idMap" | "serverRoot" | "sharedBy" | "deviceMac"> {
  return {
    ...(idMap !== undefined && driver.idMapping.by === "mounts" ? { idMap } : {}),
    ...(driver.entersUserNamespace && owners.mapped ? { serverRoot: serverRootOf(id) } : {}),
    ...(driver.name === "native" ? {} : { sharedBy: "server" as const }),
    ...(snapshot === undefined || tap === null ? {} : { deviceMac: templateMac }),
  };
}

/** What no VMM can do; a guest with too little memory dies without a word. */
function checkMachine(spec: BoxSpec): void {
  const within = (name: string, value: number, low: number, high: number): void => {
    if (Number.isInteger(value) && value >= low && value <= high) return;
    throw new RuntimeError("invalidArgument", `a Box can't have ${value} ${name}: allowed is ${low} to ${high}`);
  };
  within("processors", spec.vcpus, 1, 255);
  within("MiB of memory", spec.memoryMib, 64, 16 * 1024 * 1024);
}

/** An existing directory belongs to a Box that nobody has discarded: refuse, it may run. */
async function makeDirectory(deps: BootDeps, directory: BoxDirectory): Promise<void> {
  await mkdir(boxesDirectory(deps.state), { recursive: true, mode: boxesMode });
  try {
    await mkdir(directory.path, { mode: 0o700 });
  } catch (cause) {
    if (errnoOf(cause) !== "EEXIST") throw cause;
    const detail = { cause, hint: "discard the Box that is there first" };
    throw new RuntimeError("alreadyExists", `${directory.path} is there already`, detail);
  }
}

async function prepare(
  deps: BootDeps,
  spec: BoxSpec,
  directory: BoxDirectory,
  signal: AbortSignal,
): Promise<BoxCgroup> {
  const { driver, native, log, cgroups } = deps;
  await mkdir(directory.sockets, { mode: 0o700 });
  await mkdir(directory.logs, { mode: 0o700 });
  await native.mountTmpfs(directory.logs, logsBytes, 0o700);
  const plan = await planBoxCgroup(spec.cgroupParent, spec.id, driver.groups, cgroups);
  const handle = { driver: driver.name, processes: [], cgroups: plan.directories, ...shareFacts(deps, spec) };
  await partsOf(spec.id, directory, handle, native).share.create();
  await writeTrail(deps, spec, directory, plan.directories, []);
  const processes = mostProcesses(driver.groups, spec);
  return await createBoxCgroup(plan, { strict: !isOwnParent(spec.cgroupParent), processes, log, signal });
}

interface Prepared {
  readonly directory: BoxDirectory;
  readonly cgroup: BoxCgroup;
  readonly undo: Cleanup;
  readonly beganMs: number;
}

async function bringUp(deps: BootDeps, spec: BoxSpec, made: Prepared, signal: AbortSignal): Promise<RunningBox> {
  const { directory, cgroup, undo } = made;
  const preparedMs = monotonicMs();
  undo.add("end scope's first process", () => {
    cgroup.holder?.end();
    return Promise.resolve();
  });
  const { native, log, driver, guestBase, healthTimeoutMs, snapshot } = deps;
  const processes = new BoxProcesses(native, (reason) => explainExit(reason, directory));
  undo.add("kill box", (limited) => processes.kill(limited));
  const over = new AbortController();
  void processes.exited.then(() => {
    over.abort();
  });
  const lives = anyOf(signal, over.signal);
  const facts = shareFacts(deps, spec);
  await using namespace = await BoxNamespace.open(native, facts.serverRoot);
  const laidOut = { driver: driver.name, processes: [], cgroups: cgroup.directories, ...facts };
  await using trees = await partsOf(spec.id, directory, laidOut, native).share.trees(guestBase);
  try {
    const started = await driver.start(
      {
        spec,
        directory,
        cgroup,
        userNamespace: namespace.given,
        trees: trees?.given ?? null,
        kernelParameters: deps.kernelParameters,
        ...(snapshot === undefined ? {} : { snapshot }),
        started: async (role, process) => {
          processes.add(role, process);
          if (role === "vmm" && snapshot !== undefined && "from" in snapshot) snapshot.tried?.();
          cgroup.holder?.end();
          await writeTrail(deps, spec, directory, cgroup.directories, processes.list);
        },
      },
      lives,
    );
    const agent = connectAgent({ socketPath: directory.agentSocket, booting: started.dialable }, spec.id);
    undo.add("close agent channel", () => {
      agent.close("the Box did not come up");
      return Promise.resolve();
    });
    const startedMs = monotonicMs();
    const hello = await orWhySilent(started.dialable, processes, () =>
      stage("wait for agent", deps.bootTimeoutMs, lives, (limited) => agent.hello(limited)),
    );
    const prepareMs = preparedMs - made.beganMs;
    const startVmmMs = startedMs - preparedMs;
    log.debug({ prepareMs, startVmmMs, helloMs: monotonicMs() - startedMs, hello }, "box booted");
    const handle = { ...laidOut, processes: processes.list, directory: directory.path };
    const parts = partsOf(spec.id, directory, handle, native);
    return new RunningBox({ id: spec.id, handle, directory, processes, agent, parts, log, healthTimeoutMs });
  } catch (thrown) {
    over.abort();
    if (processes.exit === undefined || signal.aborted) throw thrown;
    throw ended(processes.exit.reason, thrown);
  }
}

/** A process of the Box has ended, which says more than what failed of it. */
function ended(reason: string, thrown: unknown): RuntimeError {
  const at = thrown instanceof RuntimeError ? thrown.stage : undefined;
  const detail = at === undefined ? { cause: thrown } : { stage: at, cause: thrown };
  return new RuntimeError("internal", reason, detail);
}

async function writeTrail(
  deps: BootDeps,
  spec: BoxSpec,
  directory: BoxDirectory,
  cgroups: readonly string[],
  processes: BoxHandle["processes"],
): Promise<void> {
  await writeBoxRecord(directory, { version: 1, id: spec.id, driver: deps.driver.name, processes, cgroups });
}

/** What was going on, on which Box, and the last that VMM and guest had to say. */
async function explained(thrown: unknown, spec: BoxSpec, directory: BoxDirectory): Promise<RuntimeError> {
  const message = await explainExit(messageOf(thrown), directory).catch(() => messageOf(thrown));
  return new RuntimeError(codeOf(thrown), message, { stage: `boot box ${shortId(spec.id)}`, cause: thrown });
}
