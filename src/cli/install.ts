import { execFile } from "node:child_process";
import { access, chmod, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { isNotFound } from "../base/errors.js";
import { exitStatus, parseFlags, print } from "./command.js";
import { installedFiles, unitName, type InstalledFile } from "./installed-files.js";
import { table } from "./table.js";

/** Puts unit, configuration and snippets in place; a second time it only brings up to date what is ours. */
export async function install(args: string[]): Promise<number> {
  const { values } = parseFlags({ args, options: { destination: { type: "string", default: "/" } } as const });
  const rows: string[][] = [];
  for (const file of await installedFiles()) {
    rows.push([join(values.destination, file.path), await put(values.destination, file), file.about]);
  }
  print(table(rows));
  if (await reloadUnits(values.destination)) print(`\nStart it: systemctl enable --now ${unitName}\n`);
  return exitStatus.ok;
}

async function put(destination: string, file: InstalledFile): Promise<string> {
  const { path, text, keep, mode = 0o644 } = file;
  const target = join(destination, path);
  const present = await textOf(target);
  if (present !== undefined && (keep || present === text)) {
    const closed = await closeTo(target, file);
    return `${present === text ? "is there" : "kept as it is"}${closed ? ", closed to other users" : ""}`;
  }
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  await rm(`${target}.new`, { force: true }); // one of an interrupted run may be open to more
  await writeFile(`${target}.new`, text, { mode, flag: "wx" });
  await rename(`${target}.new`, target);
  return present === undefined ? "written" : "brought up to date";
}

/** Takes away what a file that has secrets in it must not allow; true where there was something. */
async function closeTo(target: string, { mode }: InstalledFile): Promise<boolean> {
  if (mode === undefined) return false;
  const now = (await stat(target)).mode & 0o7777;
  if ((now & ~mode) === 0) return false;
  await chmod(target, now & mode);
  return true;
}

/** undefined when it is not there. */
export async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}

/** Has systemd read its units again where it runs; false where it does not, or for files of another machine. */
export async function reloadUnits(destination: string): Promise<boolean> {
  if (destination !== "/") return false;
  try {
    await access("/run/systemd/system"); // sd_booted(3)
  } catch {
    return false;
  }
  await promisify(execFile)("systemctl", ["daemon-reload"], { timeout: 60_000 });
  return true;
}
