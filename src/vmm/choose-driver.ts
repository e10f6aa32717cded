import { constants } from "node:fs";
import { stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { RuntimeError } from "../base/errors.js";
import { isThere, isUsable } from "../base/is-there.js";
import type { MachineDriver } from "./box.js";
import { launcherPath, libkrunPath, probeKvm } from "./probe.js";

export interface DriverChoice {
  readonly driver: MachineDriver;
  /** Why, for the log, `Status` and `check`. */
  readonly reason: string;
}

/** A program that is looked for, and what to do where it is not. */
interface Wanted {
  readonly name: string;
  readonly hint: string;
}

export const qemuProgram: Wanted = {
  name: "qemu-system-x86_64",
  hint: "install the package qemu-system-x86, or set qemu.binary",
};
export const runcProgram: Wanted = { name: "runc", hint: "install the package runc, or set native.runc" };

/** The setting, or what this machine can do. The self-test runs only where its answer matters. */
export async function chooseDriver(setting: "auto" | MachineDriver, assetsDir: string): Promise<DriverChoice> {
  if (setting !== "auto") return { driver: setting, reason: `driver "${setting}" is set in the configuration` };
  const verdict = await probeKvm(assetsDir);
  if (!verdict.usable) return { driver: "qemu", reason: `${verdict.reason}; emulating with QEMU` };
  const missing = await firstMissing([launcherPath(assetsDir), libkrunPath(assetsDir)]);
  if (missing !== undefined) {
    return { driver: "qemu", reason: `${verdict.reason}, but ${missing} is missing; emulating with QEMU` };
  }
  return { driver: "krun", reason: verdict.reason };
}

/** Fails with what to do when a file that a driver needs is not there. */
export async function requireAssets(paths: readonly string[]): Promise<void> {
  const missing = await firstMissing(paths);
  if (missing === undefined) return;
  throw new RuntimeError("failedPrecondition", `${missing} is missing`, {
    stage: "open box factory",
    hint: "run the set-up, or point assets.dir to where it put its files",
  });
}

/** The program a setting names, or the first of that name in PATH. */
export async function findProgram({ name, hint }: Wanted, setting: string | undefined): Promise<string> {
  const candidates =
    setting === undefined
      ? (process.env["PATH"] ?? "").split(delimiter).map((directory) => join(directory, name))
      : [setting];
  for (const candidate of candidates) {
    if (candidate.startsWith("/") && (await isExecutable(candidate))) return candidate;
  }
  throw new RuntimeError("failedPrecondition", `${setting ?? name} is not an executable program`, {
    stage: "open box factory",
    hint,
  });
}

/** The program a setting names, else the assets' own (a release has one), else that of PATH. */
export async function findQemu(assetsDir: string, setting: string | undefined): Promise<string> {
  const own = join(assetsDir, "qemu/bin", qemuProgram.name);
  return await findProgram(qemuProgram, setting ?? ((await isThere(own)) ? own : undefined));
}

async function firstMissing(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    if (!(await isUsable(path, constants.R_OK))) return path;
  }
  return undefined;
}

/** Directories may be entered, not run. */
async function isExecutable(path: string): Promise<boolean> {
  return (await isUsable(path, constants.X_OK)) && (await stat(path)).isFile();
}
