import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import type { CgroupHierarchy } from "../../base/cgroups.js";
import { RuntimeError, messageOf } from "../../base/errors.js";
import { sleep, stage } from "../../base/stage.js";
import type { DbusWriter, Variant } from "./dbus-writer.js";
import { callManager, ManagerRefusal } from "./manager.js";
import { slicePath } from "./slice-path.js";

export interface ScopeRequest {
  /** "a3s-box-….scope" */
  readonly name: string;
  readonly slice: string;
  readonly description: string;
  /** Those of the hierarchies that are mounted. */
  readonly hierarchies: readonly CgroupHierarchy[];
  /** Processes and threads at most; undefined: no limit. */
  readonly processes: number | undefined;
}

/** A scope lives as long as it has a process: this is it until the first of ours is in. */
export interface ScopeHolder {
  readonly pid: number;
  end(): void;
}

const unlimited = (1n << 64n) - 1n;
const startLimitMs = 20_000;
const pollMs = 5;
/** A daemon that is killed meanwhile leaves nothing for ever. */
const holderSeconds = 120;

/**
 * Has systemd make a scope with its groups delegated: everything below them is ours, and systemd leaves it alone
 * (systemd's "Control Group APIs and Delegation"). Undoes itself.
 */
export async function startScope(request: ScopeRequest, signal: AbortSignal): Promise<ScopeHolder> {
  return await stage("start scope", startLimitMs, signal, async (limited) => {
    const holder = await startHolder();
    try {
      await callManager(transientUnit(request, holder.pid), limited).catch((thrown: unknown) => {
        throw refused(request, thrown);
      });
      await inScope(holder.pid, request, limited);
      return holder;
    } catch (thrown) {
      holder.end();
      throw thrown;
    }
  });
}

async function startHolder(): Promise<ScopeHolder> {
  const child = spawn("sleep", [String(holderSeconds)], { stdio: "ignore", detached: true });
  const pid = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("spawn", () => {
      resolve(child.pid ?? 0);
    });
  });
  child.unref();
  return {
    pid,
    end: () => {
      child.kill("SIGKILL");
    },
  };
}

/** org.freedesktop.systemd1(5), StartTransientUnit; the properties are those of systemd.scope(5). */
function transientUnit({ name, slice, description, processes }: ScopeRequest, pid: number) {
  const properties: (readonly [string, Variant])[] = [
    ["Description", { type: "s", value: description }],
    ["Slice", { type: "s", value: slice }],
    ["PIDs", { type: "au", value: [pid] }],
    ["Delegate", { type: "b", value: true }],
    // no limit of the manager's where we have none: those of a pod are kubelet's and the containers'
    ["TasksMax", { type: "t", value: processes === undefined ? unlimited : BigInt(processes) }],
    // a scope that ended badly goes as others do, and its name with it
    ["CollectMode", { type: "s", value: "inactive-or-failed" }],
    ["DefaultDependencies", { type: "b", value: false }],
  ];
  const body = (writer: DbusWriter): void => {
    writer.string(name);
    writer.string("fail");
    writer.array(properties, 8, ([property, value]) => {
      writer.struct(() => {
        writer.string(property);
        writer.variant(value);
      });
    });
    writer.array([], 8, () => undefined);
  };
  return { member: "StartTransientUnit", signature: "ssa(sv)a(sa(sv))", body };
}

function refused({ name, slice }: ScopeRequest, thrown: unknown): unknown {
  if (!(thrown instanceof ManagerRefusal)) return thrown;
  const code = thrown.errorName.endsWith(".UnitExists") ? "alreadyExists" : "internal";
  return new RuntimeError(code, `systemd makes no ${name} in ${slice}: ${messageOf(thrown)}`, { cause: thrown });
}

/** systemd answers before the work is done: proc_pid_cgroup(5) tells when it is. */
async function inScope(pid: number, { name, slice, hierarchies }: ScopeRequest, signal: AbortSignal): Promise<void> {
  const path = `${slicePath(slice)}/${name}`;
  for (;;) {
    const text = await readFile(`/proc/${String(pid)}/cgroup`, "utf8").catch(() => "");
    if (text === "") throw new RuntimeError("internal", "systemd ended the scope's first process");
    if (hierarchies.every((hierarchy) => isIn(text, path, hierarchy))) return;
    await sleep(pollMs, signal).catch(() => {
      const hint = `systemctl status ${name}`;
      throw new RuntimeError("deadlineExceeded", `systemd has not moved a process to ${path}`, { hint });
    });
  }
}

/** In the hierarchies that systemd tracks units by: its own of v1, and v2. It moves processes to the others after those. */
function isIn(text: string, path: string, { version, name }: CgroupHierarchy): boolean {
  if (version === 1 && name !== "systemd") return true;
  const begin = version === 2 ? /^0::(.*)$/m : /^\d+:name=systemd:(.*)$/m;
  return begin.exec(text)?.[1] === path;
}
