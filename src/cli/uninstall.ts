import { execFile } from "node:child_process";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { exitStatus, parseFlags, print } from "./command.js";
import { reloadUnits, textOf } from "./install.js";
import { installedFiles, unitName, type InstalledFile } from "./installed-files.js";
import { table } from "./table.js";

/**
 * Stops the daemon and takes away what `install` has put in place. Pods go on running, and images and records stay: they
 * are the data of the directories in the configuration, which this does not touch.
 */
export async function uninstall(args: string[]): Promise<number> {
  const options = {
    destination: { type: "string", default: "/" },
    purge: { type: "boolean", default: false },
  } as const;
  const { values } = parseFlags({ args, options });
  const systemd = await reloadUnits(values.destination);
  if (systemd) await promisify(execFile)("systemctl", ["disable", "--now", unitName]).catch(() => undefined);
  const rows: string[][] = [];
  for (const file of await installedFiles()) {
    rows.push([join(values.destination, file.path), await take(values.destination, file, values.purge)]);
  }
  await rmdir(join(values.destination, "/etc/a3s-box")).catch(() => undefined); // others may have put files there
  await reloadUnits(values.destination);
  print(table(rows));
  print("\nImages, records and running pods are as they were: /var/lib/a3s-box and /run/a3s-box, unless configured.\n");
  return exitStatus.ok;
}

async function take(destination: string, file: InstalledFile, purge: boolean): Promise<string> {
  const target = join(destination, file.path);
  const present = await textOf(target);
  if (present === undefined) return "is not there";
  if (file.settings && !purge) return "kept: settings (--purge takes them away)";
  if (!file.settings && file.keep && present !== file.text) return "kept: changed since";
  await rm(target);
  return "removed";
}
