import { release } from "node:os";
import { join } from "node:path";
import { readMountinfo } from "../base/mountinfo.js";
import type { Logger } from "../base/log.js";
import type { Native } from "../native/addon.js";
import type { DriverName } from "./box.js";
import { requireUnifiedCgroup } from "./cgroup/limit-facts.js";
import { findProgram, findQemu, requireAssets, runcProgram } from "./choose-driver.js";
import type { Driver } from "./drivers/driver.js";
import { KrunDriver } from "./drivers/krun/krun-driver.js";
import { NativeDriver } from "./drivers/native/native-driver.js";
import { runcFeatures } from "./drivers/native/runc-features.js";
import { nativeIdMapping } from "./drivers/native/user-namespaces.js";
import { QemuDriver } from "./drivers/qemu/qemu-driver.js";
import { launcherPath, libkrunPath } from "./probe.js";

export interface DriverOptions {
  /** State directory of this daemon; Boxes go to `boxes/` in it. */
  readonly state: string;
  readonly assetsDir: string;
  readonly native: Native;
  readonly log: Logger;
  /** Absolute path; absent: that of the assets, else `qemu-system-x86_64` from PATH. */
  readonly qemuBinary?: string;
  /** Directory on the file system that has images' layers. */
  readonly layers: string;
  /** Absolute path; absent: `runc` from PATH. */
  readonly runcBinary?: string;
}

/** Fails with what to do where something that it needs is not there. */
export async function openDriver(name: DriverName, options: DriverOptions): Promise<Driver> {
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

/** Each once. */
export async function openDrivers(
  names: Iterable<DriverName>,
  options: DriverOptions,
): Promise<Map<DriverName, Driver>> {
  const drivers = new Map<DriverName, Driver>();
  for (const name of new Set(names)) drivers.set(name, await openDriver(name, options));
  return drivers;
}

async function openNative(options: DriverOptions): Promise<Driver> {
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
