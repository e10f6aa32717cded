import type { BoxId } from "../base/ids.js";
import { messageOf } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import type { MountLine } from "../base/mountinfo.js";
import { anyOf } from "../base/signals.js";
import type { AgentClient } from "./agent/agent-client.js";
import { stagingBytes, type StagingFile } from "./agent/staged-parts.js";
import type { Box, BoxExit, BoxHandle, SharedPath, Snapshot } from "./box.js";
import type { BoxDirectory } from "./box-directory.js";
import { deviceMacOf } from "./box-ids.js";
import type { BoxProcesses } from "./box-processes.js";
import { tailOf } from "./console.js";
import { confineGroups, type CpuSet } from "./cgroup/cpu-set.js";
import { serverOf, type BoxDriverParts } from "./drivers/parts.js";
import { isBoxGroup } from "./cgroup/plan.js";
import { setOomScore } from "./oom-score.js";
import type { DiskUsage } from "./usage.js";
import { giveMemoryBack } from "./give-memory-back.js";
import { goOn, standStill } from "./stand-still.js";
import { watchDescriptors } from "./watch-descriptors.js";
import { watchHealth } from "./watch-health.js";

export interface BoxParts {
  readonly id: BoxId;
  readonly handle: BoxHandle;
  readonly directory: BoxDirectory;
  readonly processes: BoxProcesses;
  readonly agent: AgentClient;
  readonly parts: BoxDriverParts;
  /** The Box's own. */
  readonly log: Logger;
  /** See `watchHealth`. */
  readonly healthTimeoutMs: number;
  /** Found again by another daemon than the one that has booted it. */
  readonly adopted?: boolean;
}

/** A Box that runs, or has ended and waits for its removal. */
export class RunningBox implements Box {
  readonly id: BoxId;
  readonly agent: AgentClient;
  readonly exited: Promise<BoxExit>;
  readonly #parts: BoxParts;
  #reclaiming = new AbortController();
  #handle: BoxHandle;

  constructor(parts: BoxParts) {
    this.id = parts.id;
    this.#handle = parts.handle;
    this.agent = parts.agent;
    this.#parts = parts;
    this.exited = parts.processes.exited.then((exit) => {
      parts.agent.close(`the Box has ended: ${exit.reason}`);
      return exit;
    });
    this.#watch(parts);
  }

  get handle(): BoxHandle {
    return this.#handle;
  }

  /** Its processes are in these now. */
  movedTo(cgroups: readonly string[]): void {
    this.#handle = { ...this.#handle, cgroups };
  }

  get exit(): BoxExit | undefined {
    return this.#parts.processes.exit;
  }

  #watch({ id, handle, agent, processes, log, healthTimeoutMs, adopted: spread = false }: BoxParts): void {
    const over = new AbortController();
    void this.exited.then(() => {
      over.abort();
    });
    const giveUp = (reason: string): void => {
      log.error({ reason }, "the Box is given up");
      processes.giveUp(reason);
    };
    agent.broken.addEventListener("abort", () => {
      giveUp(messageOf(agent.broken.reason));
    });
    if (agent.broken.aborted) giveUp(messageOf(agent.broken.reason));
    void watchHealth({ id, agent, timeoutMs: healthTimeoutMs, spread, giveUp, over: over.signal, log });
    const server = handle.driver === "native" ? undefined : serverOf(handle.driver, handle.processes);
    if (server !== undefined) void watchDescriptors({ pid: server.pid, agent, over: over.signal, log });
  }

  get deviceMac(): string {
    return this.handle.deviceMac ?? deviceMacOf(this.id);
  }

  get showsOtherOwners(): boolean {
    return this.handle.idMap !== undefined;
  }

  get sharedMemory(): string {
    return this.#parts.parts.sharedMemory;
  }

  async shareOverlay(name: string, snapshot: Snapshot): Promise<SharedPath> {
    return await this.#parts.parts.share.overlay(name, snapshot);
  }

  async shareImage(name: string, lowers: readonly string[]): Promise<SharedPath> {
    return await this.#parts.parts.share.image(name, lowers);
  }

  async shareBind(
    name: string,
    source: string,
    readonly: boolean,
    recursive = true,
    without: readonly string[] = [],
  ): Promise<SharedPath> {
    return await this.#parts.parts.share.bind(name, source, { readonly, recursive, without });
  }

  async shareMount(name: string, descriptorPath: string, isDirectory: boolean): Promise<SharedPath> {
    return await this.#parts.parts.share.mount(name, descriptorPath, isDirectory);
  }

  async stageUpload(signal: AbortSignal): Promise<StagingFile | undefined> {
    const { agent, parts, log } = this.#parts;
    if (parts.stagings === undefined || !(await agent.guest(signal)).stagedWrites) return undefined;
    return await parts.stagings.open(stagingBytes, log);
  }

  async removeShared(hostPath: string): Promise<void> {
    await this.#parts.parts.share.remove(hostPath);
  }

  async listShared(): Promise<string[]> {
    return await this.#parts.parts.share.list();
  }

  async mountedShared(): Promise<MountLine[]> {
    return await this.#parts.parts.share.mounted();
  }

  async lookAtShared<T>(hostPath: string, look: (path: string) => Promise<T>): Promise<T> {
    return await this.#parts.parts.share.lookAt(hostPath, look);
  }

  async pause(signal: AbortSignal): Promise<void> {
    const { agent, processes } = this.#parts;
    agent.rest();
    try {
      await standStill(processes, signal);
    } catch (thrown) {
      await this.resume().catch(() => undefined); // it has ended
      throw thrown;
    }
  }

  async resume(): Promise<void> {
    this.#reclaiming.abort();
    await goOn(this.#parts.processes);
    this.agent.wake();
  }

  async giveMemoryBack(): Promise<void> {
    const { log } = this.#parts;
    this.#reclaiming = new AbortController();
    try {
      await giveMemoryBack(this.#groups(), log, this.#reclaiming.signal);
    } catch (thrown) {
      log.debug({ err: messageOf(thrown) }, "memory of a paused Box was not given back");
    }
  }

  async stop(graceMs: number, signal: AbortSignal): Promise<void> {
    const { agent, processes, log, parts } = this.#parts;
    if (graceMs > 0 && parts.shutsDown && processes.exit === undefined) {
      const grace = anyOf(signal, AbortSignal.timeout(graceMs));
      try {
        await agent.shutdown(grace);
        await processes.gone(grace);
      } catch (thrown) {
        log.debug({ err: messageOf(thrown) }, "the Box did not shut down by itself");
      }
    }
    await processes.kill(signal);
  }

  async consoleTail(): Promise<string> {
    const { console, agentLog } = this.#parts.directory;
    return await tailOf(this.handle.driver === "native" ? agentLog : console);
  }

  async cpuTime(): Promise<bigint> {
    if (this.exit !== undefined) return 0n;
    return await this.#parts.parts.usage.cpuTime();
  }

  async memoryUsage(): Promise<bigint> {
    if (this.exit !== undefined) return 0n;
    return await this.#parts.parts.usage.memory();
  }

  async confineTo(set: CpuSet): Promise<void> {
    await confineGroups(this.#groups(), set);
  }

  async setOomScore(score: number): Promise<void> {
    if (this.exit === undefined) await setOomScore(this.handle, this.#groups(), score);
  }

  #groups(): string[] {
    return this.handle.cgroups.filter((group) => isBoxGroup(group, this.id));
  }

  async diskUsage(): Promise<DiskUsage | undefined> {
    return this.exit === undefined ? await this.#parts.parts.usage.disk() : undefined;
  }
}
