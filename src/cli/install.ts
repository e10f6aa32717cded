import { execFile } from "node:child_process";
import { access, mkdir, readFile, rename, writeFile } from "node:fs/promises";
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

async function put(destination: string, { path, text, keep }: InstalledFile): Promise<string> {
  const target = join(destination, path);
  const present = await textOf(target);
  if (present === text) return "is there";
  if (present !== undefined && keep) return "kept as it is";
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  await writeFile(`${target}.new`, text, { mode: 0o644 });
  await rename(`${target}.new`, target);
  return present === undefined ? "written" : "brought up to date";
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
