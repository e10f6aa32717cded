import { nowNs } from "../base/clock.js";
import { RuntimeError } from "../base/errors.js";
import { orAborted } from "../base/or-aborted.js";
import type { ExitInfo, ExitWatch, Native, SpawnedProcess } from "../native/addon.js";
import type { BoxExit, BoxHandle } from "./box.js";

export type ProcessRole = BoxHandle["processes"][number]["role"];

/** What watching processes takes of the addon. */
export type ProcessKernel = Pick<Native, "watchExit" | "signalProcess" | "closeFd">;

interface Member {
  readonly role: ProcessRole;
  readonly process: SpawnedProcess;
  /** Ends with the process, its pidfd closed. */
  gone: Promise<void>;
  /** Signals on their way; null once the pidfd may be closed. Its number is soon another process's. */
  signals: Promise<unknown> | null;
}

/** How long a VMM's own end may be behind that of its file server. */
const vmmGoesFirstMs = 400;

const sigkill = 9;
export const nameOf = { vmm: "vmm", fs: "file server", agent: "agent" } satisfies Record<ProcessRole, string>;

function describeExit(role: ProcessRole, exit: ExitInfo): string {
  if (exit.signal !== null) return `${nameOf[role]} killed by signal ${exit.signal}`;
  if (exit.code !== null) return `${nameOf[role]} exited with status ${exit.code}`;
  return `${nameOf[role]} ended`;
}

/**
 * The processes of one Box, watched by pidfd. They live and die together: when one ends, the others are killed, and
 * `exited` settles with the reason of the first. Owns the pidfds.
 */
export class BoxProcesses {
  readonly exited: Promise<BoxExit>;
  readonly #native: ProcessKernel;
  readonly #members: Member[] = [];
  readonly #explain: (reason: string) => Promise<string>;
  #first: { readonly atNs: bigint } | undefined;
  #exit: BoxExit | undefined;
  #settle: (exit: BoxExit) => void = () => undefined;

  /** `explain` adds what the console or a log file has to say to the reason of an exit. */
  constructor(native: ProcessKernel, explain: (reason: string) => Promise<string>) {
    this.#native = native;
    this.#explain = explain;
    this.exited = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get exit(): BoxExit | undefined {
    return this.#exit;
  }

  get list(): BoxHandle["processes"] {
    const order = { vmm: 0, fs: 1, agent: 2 } satisfies Record<ProcessRole, number>;
    return this.#members
      .map(({ role, process }) => ({ role, pid: process.pid, startTime: process.startTime }))
      .sort((a, b) => order[a.role] - order[b.role]);
  }

  add(role: ProcessRole, process: SpawnedProcess): void {
    const member: Member = { role, process, gone: Promise.resolve(), signals: Promise.resolve() };
    member.gone = this.#watch(member, this.#native.watchExit(process.pidfd));
    this.#members.push(member);
  }

  /** The exit, also one that is only being noticed: what a process held is closed before its end is told. */
  async exitWithin(ms: number): Promise<BoxExit | undefined> {
    return await orAborted(this.exited, AbortSignal.timeout(ms)).catch(() => undefined);
  }

  /** Sends the VMM a signal, and answers its pid. `unavailable` where it has ended. */
  async signalVmm(number: number): Promise<number> {
    const vmm = this.#members.find(({ role }) => role === "vmm");
    if (vmm === undefined || vmm.signals === null) throw new RuntimeError("unavailable", "the vmm has ended");
    const sent = vmm.signals.then(() => this.#native.signalProcess(vmm.process.pidfd, number));
    vmm.signals = sent.catch(() => false);
    if (!(await sent)) throw new RuntimeError("unavailable", "the vmm has ended");
    return vmm.process.pid;
  }

  /** Kills all and resolves when all are gone. */
  async kill(signal: AbortSignal): Promise<void> {
    this.#killAll();
    await this.gone(signal);
  }

  /** Kills all, for a reason that none of them would give. */
  giveUp(reason: string): void {
    void this.#ended(reason);
  }

  async gone(signal: AbortSignal): Promise<void> {
    await orAborted(Promise.all(this.#members.map((member) => member.gone)), signal);
  }

  async #watch(member: Member, watch: ExitWatch): Promise<void> {
    const exit = await watch.exited;
    watch.close();
    const onTheirWay = member.signals;
    member.signals = null;
    await onTheirWay;
    await this.#native.closeFd(member.process.pidfd).catch(() => undefined);
    // A file server ends because its VMM has: the one to name is the VMM, when it turns out to be gone as well.
    if (member.role === "fs" && this.#first === undefined) await this.#vmmEnded();
    await this.#ended(describeExit(member.role, exit));
  }

  async #vmmEnded(): Promise<void> {
    const vmm = this.#members.find(({ role }) => role === "vmm");
    if (vmm !== undefined) await orAborted(vmm.gone, AbortSignal.timeout(vmmGoesFirstMs)).catch(() => undefined);
  }

  #killAll(): void {
    for (const member of this.#members) {
      if (member.signals === null) continue;
      const send = async (): Promise<unknown> =>
        await this.#native.signalProcess(member.process.pidfd, sigkill).catch(() => false);
      member.signals = member.signals.then(send);
    }
  }

  async #ended(reason: string): Promise<void> {
    if (this.#first !== undefined) return;
    this.#first = { atNs: nowNs() };
    this.#killAll();
    const explained = await this.#explain(reason).catch(() => reason);
    this.#exit = { atNs: this.#first.atNs, reason: explained };
    this.#settle(this.#exit);
  }
}
