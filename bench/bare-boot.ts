/**
 * The least a Box could cost: the same VMM with the same flags, the same guest kernel and the same root, and an init
 * that prints a line and reboots. No agent, no CRI, no network namespace, no cgroup.
 */
import { watch } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { monotonicMs } from "../src/base/clock.js";
import { newBoxId } from "../src/base/ids.js";
import { loadConfig } from "../src/config/load.js";
import { loadNative, type SpawnedProcess } from "../src/native/addon.js";
import type { MachineDriver } from "../src/vmm/box.js";
import { boxDirectoryOf } from "../src/vmm/box-directory.js";
import { discardBox } from "../src/vmm/discard-box.js";
import type { Driver } from "../src/vmm/drivers/driver.js";
import { KrunDriver } from "../src/vmm/drivers/krun/krun-driver.js";
import { QemuDriver } from "../src/vmm/drivers/qemu/qemu-driver.js";
import { findProgram, qemuProgram } from "../src/vmm/choose-driver.js";
import { launcherPath, libkrunPath } from "../src/vmm/probe.js";
import { GuestShare } from "../src/vmm/share/guest-share.js";
import { ServerMounts } from "../src/vmm/share/share-mounts.js";
import { createLogger } from "../src/base/log.js";
import { ticks } from "./ticks.js";

const limitMs = 60_000;

export interface BareBoot {
  /** From the start of the first process to the line on the console. */
  readonly ms: number;
  /** Processor time of VMM and file server until then. */
  readonly cpuMs: number;
}

export interface BareBooter {
  /** `parameters` come after ours on the kernel's command line: of most, the last one counts. */
  boot(parameters?: readonly string[]): Promise<BareBoot>;
}

/** `state`: a short, empty directory for the Boxes. `other`: a kernel instead of that of the assets. */
export async function bareBooter(driverName: MachineDriver, state: string, other?: string): Promise<BareBooter> {
  const config = await loadConfig({ state });
  const assets = config.assets.dir;
  const { native } = loadNative(assets);
  const kernel = other ?? join(assets, "kernel", "vmlinux.elf");
  const driver: Driver =
    driverName === "krun"
      ? new KrunDriver(native, { launcher: launcherPath(assets), libkrun: libkrunPath(assets), kernel })
      : new QemuDriver(native, {
          launcher: launcherPath(assets),
          qemu: await findProgram(qemuProgram, config.qemu.binary),
          virtiofsd: join(assets, "bin", "virtiofsd"),
          kernel,
        });
  const log = createLogger("error");
  const { vcpus, memoryMib } = config.sandbox;

  const boot = async (parameters: readonly string[] = []): Promise<BareBoot> => {
    const id = newBoxId();
    const directory = boxDirectoryOf(state, id);
    const netnsPath = join(state, "netns");
    await mkdir(directory.logs, { recursive: true });
    await mkdir(directory.sockets);
    await native.createNetns(netnsPath);
    const share = new GuestShare(null, directory, native, new ServerMounts(native, directory.share, undefined));
    await share.create();
    await using trees = await share.trees(join(assets, "guest"));
    const processes: SpawnedProcess[] = [];
    const awake = setInterval(() => undefined, limitMs); // the watch on a process alone does not keep Node running
    try {
      const printed = lineIn(directory.logs, directory.console, "ready");
      const startedMs = monotonicMs();
      const started = await driver.start(
        {
          spec: { id, vcpus, memoryMib, netnsPath, tap: null, cgroupParent: "" },
          directory,
          cgroup: { path: "", procs: [] },
          userNamespace: null,
          trees: trees.given,
          kernelParameters: ["a3s.bare=1", ...parameters],
          started: (_role, process) => {
            processes.push(process);
            return Promise.resolve();
          },
        },
        AbortSignal.timeout(limitMs),
      );
      started.dialable.catch(() => undefined);
      await printed;
      const ms = monotonicMs() - startedMs;
      return { ms, cpuMs: 10 * (await ticks(processes.map(({ pid }) => pid))) };
    } finally {
      for (const { pidfd } of processes) {
        await native.signalProcess(pidfd, 9);
        await native.watchExit(pidfd).exited;
        await native.closeFd(pidfd);
      }
      await discardBox({ native, log }, id, directory, undefined, AbortSignal.timeout(limitMs));
      await native.removeNetns(netnsPath);
      clearInterval(awake);
    }
  };
  return { boot };
}

/** Resolves when the line is in the file, told by inotify; the file need not be there yet. */
async function lineIn(directory: string, file: string, line: string): Promise<void> {
  const watcher = watch(directory);
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`no "${line}" on the console in ${limitMs} ms`));
      }, limitMs);
      const look = (): void => {
        readFile(file, "utf8").then(
          (text) => {
            if (text.includes(line)) resolve();
          },
          () => undefined,
        );
      };
      watcher.on("change", look);
      watcher.on("error", reject);
      look();
    });
  } finally {
    clearTimeout(timer);
    watcher.close();
  }
}
