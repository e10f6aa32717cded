import { mkdir, readdir } from "node:fs/promises";
import { availableParallelism, release } from "node:os";
import { join } from "node:path";
import { closedDirectory } from "../base/closed-directory.js";
import { RuntimeError, messageOf } from "../base/errors.js";
import type { BoxId } from "../base/ids.js";
import { Limiter } from "../base/limiter.js";
import { logOfBox, type Logger } from "../base/log.js";
import type { Native } from "../native/addon.js";
import { adoptBox } from "./adopt-box.js";
import { bootBox, type BootDeps } from "./boot-box.js";
import type { Box, BoxFactory, BoxHandle, BoxSpec, DriverName, IdMapping, MachineDriver } from "./box.js";
import { boxFolderAt, boxFolderOf, boxesFolder, boxesMode, longestSocketSuffix, readBoxRecord } from "./box-folder.js";
import { chooseDriver, findProgram, findQemu, requireAssets, runcProgram, type DriverChoice } from "./choose-driver.js";
import { discardBox, removeBoxFolder } from "./discard-box.js";
import type { Driver } from "./drivers/driver.js";
import { KrunDriver } from "./drivers/krun/krun-driver.js";
import { NativeDriver } from "./drivers/native/native-driver.js";
import { runcFeatures } from "./drivers/native/runc-features.js";
import { nativeIdMapping } from "./drivers/native/user-namespaces.js";
import { QemuDriver } from "./drivers/qemu/qemu-driver.js";
import { requireUnifiedCgroup } from "./cgroup/limit-facts.js";
import type { CgroupManager } from "./cgroup/plan.js";
import { readMountinfo } from "../base/mountinfo.js";
import { neverAborted } from "../base/signals.js";
import { launcherPath, libkrunPath } from "./probe.js";
import { requireSystemd } from "./systemd/require-systemd.js";
import { probeOwners, type OwnersVerdict } from "./share/probe-owners.js";
import type { RunningBox } from "./running-box.js";

export interface BoxFactoryOptions {
  /** State folder of this daemon; Boxes go to `boxes/` in it. */
  readonly state: string;
  readonly assetsDir: string;
  readonly native: Native;
  readonly log: Logger;
  readonly driver: "auto" | MachineDriver;
  /** Beside it: those that some Boxes are to be booted by (`BoxSpec.driver`). What they need must be there. */
  readonly moreDrivers?: readonly DriverName[];
  /** Absolute path; absent: that of the assets, else `qemu-system-x86_64` from PATH. */
  readonly qemuBinary?: string;
  /** Folder on the file system that has images' layers. */
  readonly layers: string;
  /** Absolute path; absent: `runc` from PATH. */
  readonly runcBinary?: string;
  /** From the VMM's start to the agent's hello. Emulation on a busy machine needs a minute. */
  readonly bootTimeoutMs: number;
  /** What runs the sessions that do not choose. */
  readonly containerRuntime: "own" | "crun";
  /** Who makes the Boxes' cgroups. */
  readonly cgroupManager: CgroupManager;
  /** A Box whose agent has been silent for so long is ended; 0: never. */
  readonly healthTimeoutMs: number;
  /** Absent: found out. */
  readonly owners?: OwnersVerdict;
}

/** The daemon's start waits for all folders to be looked at. */
const sweepsAtOnce = 32;
/** A guest that boots keeps a processor busy, under emulation for seconds (docs/adr/0070). */
const bootsPerProcessor = 2;
/** sun_path of unix(7), less its closing NUL. */
const maxSocketPath = 107;
export async function openBoxFactory(options: BoxFactoryOptions): Promise<BoxFactory> {
  const { state, assetsDir, native, log, bootTimeoutMs, healthTimeoutMs, containerRuntime, cgroupManager } = options;
  if (Buffer.byteLength(state) + longestSocketSuffix > maxSocketPath) {
    const longest = maxSocketPath - longestSocketSuffix;
    throw new RuntimeError("invalidArgument", `state folder "${state}" is longer than ${longest} bytes`, {
      hint: "socket paths in it would exceed what the kernel takes",
    });
  }
  if (cgroupManager === "systemd") await requireSystemd();
  const choice = await chooseDriver(options.driver, assetsDir);
  await mkdir(state, { recursive: true, mode: 0o711 });
  const drivers = new Map<DriverName, Driver>();
  for (const name of new Set([choice.driver, ...(options.moreDrivers ?? [])])) {
    drivers.set(name, await openDriver(name, options));
  }
  const guestBase = join(assetsDir, "guest");
  await requireAssets([join(guestBase, "usr", "bin", "agent")]);
  await closedDirectory(boxesFolder(state), boxesMode);
  await sweepUnrecorded(state, native, log);
  log.info({ driver: choice.driver, reason: choice.reason }, "driver chosen");
  const owners = options.owners ?? (await probeOwners({ native, state, layers: options.layers, name: "owners-probe" }));
  if (!owners.mapped) log.warn({ why: owners.why }, "file servers of Boxes are root of the host, in their jails");
  const kernelParameters = [`a3s.runtime=${containerRuntime}`];
  const limits = { bootTimeoutMs, healthTimeoutMs, cgroupManager };
  return new Boxes(choice, drivers, { native, log, state, guestBase, owners, ...limits, kernelParameters });
}

async function openDriver(name: DriverName, options: BoxFactoryOptions): Promise<Driver> {
  const { assetsDir, native } = options;
  if (name === "native") return await openNative(options);
  const kernel = join(assetsDir, "kernel", "vmlinux.elf");
  if (name === "krun") {
    const programs = { launcher: launcherPath(assetsDir), libkrun: libkrunPath(assetsDir), kernel };
    await requireAssets(Object.values(programs));
    return new KrunDriver(native, programs);
  }
  const virtiofsd = join(assetsDir, "bin", "virtiofsd");
  const launcher = launcherPath(assetsDir);
  await requireAssets([launcher, kernel, virtiofsd]);
  const qemu = await findQemu(assetsDir, options.qemuBinary);
  return new QemuDriver(native, { launcher, qemu, virtiofsd, kernel });
}

async function openNative(options: BoxFactoryOptions): Promise<Driver> {
  const { assetsDir, native, runcBinary, state, layers, log } = options;
  requireUnifiedCgroup(await readMountinfo(), release());
  const agent = join(assetsDir, "guest", "usr", "bin", "agent");
  await requireAssets([agent]);
  const runc = await findProgram(runcProgram, runcBinary);
  const features = await runcFeatures(runc);
  const idMapping = await nativeIdMapping({ native, state, layers, namespaces: features.namespaces });
  if (idMapping.by === "none") log.warn({ driver: "native", why: idMapping.why }, "no user namespaces for pods");
  return new NativeDriver(native, { agent, runc, features, idMapping });
}

/** Folders of Boxes that a daemon began to make and died before their record was written: nothing runs in them. */
async function sweepUnrecorded(state: string, native: Native, log: Logger): Promise<void> {
  const sweep = async (name: string): Promise<void> => {
    const folder = boxFolderAt(join(boxesFolder(state), name));
    const record = await readBoxRecord(folder).catch(() => null); // one that can't be read is somebody's
    if (record !== undefined) return;
    await removeBoxFolder(folder, native);
    log.warn({ folder: folder.path }, "removed the folder of a Box that was never started");
  };
  const turns = new Limiter<"sweep">({ inAll: sweepsAtOnce });
  await Promise.all(
    (await readdir(boxesFolder(state))).map((name) => turns.run("sweep", neverAborted, () => sweep(name))),
  );
}

class Boxes implements BoxFactory {
  readonly driver: MachineDriver;
  readonly reason: string;
  readonly owners: OwnersVerdict;
  readonly #drivers: ReadonlyMap<DriverName, Driver>;
  readonly #deps: Omit<BootDeps, "driver">;
  readonly #running = new Map<BoxId, RunningBox>();
  /** All of a node's pods at once would each get so little of the processors that none had booted within its limit. */
  readonly #boots = new Limiter<BoxId>({ inAll: availableParallelism() * bootsPerProcessor });

  constructor(choice: DriverChoice, drivers: ReadonlyMap<DriverName, Driver>, deps: Omit<BootDeps, "driver">) {
    this.driver = choice.driver;
    this.reason = choice.reason;
    this.owners = deps.owners;
    this.#drivers = drivers;
    this.#deps = deps;
  }

  async boot(spec: BoxSpec, signal: AbortSignal): Promise<Box> {
    const boot = (): Promise<RunningBox> => this.#bootTwice(spec, signal);
    const isMachine = (spec.driver ?? this.driver) !== "native";
    return this.#keep(isMachine ? await this.#boots.run(spec.id, signal, boot) : await boot());
  }

  async adopt(id: BoxId, handle: BoxHandle, _signal: AbortSignal): Promise<Box | null> {
    const box = await adoptBox(this.#depsOf(id), id, handle);
    return box === null ? null : this.#keep(box);
  }

  async discard(id: BoxId, handle: BoxHandle | undefined, signal: AbortSignal): Promise<void> {
    const box = this.#running.get(id);
    if (box !== undefined) await box.stop(0, signal);
    const folder = handle === undefined ? boxFolderOf(this.#deps.state, id) : boxFolderAt(handle.folder);
    await discardBox(this.#depsOf(id), id, folder, handle, signal);
    this.#running.delete(id);
  }

  async listFolders(): Promise<BoxId[]> {
    const parent = boxesFolder(this.#deps.state);
    const ids: BoxId[] = [];
    for (const name of await readdir(parent)) {
      const id = await this.#idOf(join(parent, name));
      if (id !== undefined) ids.push(id);
    }
    return ids;
  }

  /**
   * An emulated guest on an overloaded host has been seen to panic while it boots (once in some hundred boots, 14 others
   * running). Nothing of the pod is in it yet: it is booted once more, and the panic is in the log.
   */
  async #bootTwice(spec: BoxSpec, signal: AbortSignal): Promise<RunningBox> {
    const deps = { ...this.#depsOf(spec.id), driver: this.#driverOf(spec) };
    try {
      return await bootBox(deps, spec, signal);
    } catch (thrown) {
      const why = messageOf(thrown);
      if (signal.aborted || !why.includes("Kernel panic")) throw thrown;
      deps.log.warn({ err: why }, "the guest panicked while it booted; booting once more");
      return await bootBox(deps, spec, signal);
    }
  }

  idMapping(driver: DriverName | undefined): IdMapping {
    const opened = this.#drivers.get(driver ?? this.driver);
    return opened?.idMapping ?? { by: "none", why: "the driver was not opened" };
  }

  mountsRecursiveReadOnly(driver: DriverName | undefined): boolean {
    return this.#drivers.get(driver ?? this.driver)?.mountsRecursiveReadOnly === true;
  }

  #depsOf(id: BoxId): Omit<BootDeps, "driver"> {
    return { ...this.#deps, log: logOfBox(this.#deps.log, id) };
  }

  #driverOf(spec: Pick<BoxSpec, "driver">): Driver {
    const name = spec.driver ?? this.driver;
    const driver = this.#drivers.get(name);
    if (driver === undefined) throw new RuntimeError("internal", `driver "${name}" was not opened`);
    return driver;
  }

  #keep(box: RunningBox): RunningBox {
    this.#running.set(box.id, box);
    return box;
  }

  /** Undefined for a folder that has no readable record: it has died before anything was in it. */
  async #idOf(path: string): Promise<BoxId | undefined> {
    try {
      return (await readBoxRecord(boxFolderAt(path)))?.id;
    } catch (err) {
      this.#deps.log.warn({ err, folder: path }, "the record of this Box can't be read");
      return undefined;
    }
  }
}
