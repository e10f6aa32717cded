/** The configuration of the guest's kernel, as Kconfig's files have it. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../src/base/errors.js";

/** By name, without "CONFIG_": "y", a number, a text in quotes; "n" for one that is not set. */
export type KernelOptions = ReadonlyMap<string, string>;

const setting = /^CONFIG_(\w+)=(.+)$/;
const unset = /^# CONFIG_(\w+) is not set$/;

/** What a file says, in its order; a name that is said twice is a mistake of whoever wrote it. */
export function parseKernelConfig(text: string, where: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, name, value] = setting.exec(line) ?? unset.exec(line) ?? [];
    if (name === undefined) {
      if (line === "" || (line.startsWith("#") && !line.startsWith("# CONFIG_"))) continue;
      throw new RuntimeError("invalidArgument", `${where}: "${line}" is no line of a kernel's configuration`);
    }
    if (options.has(name)) throw new RuntimeError("invalidArgument", `${where}: CONFIG_${name} is there twice`);
    options.set(name, value ?? "n");
  }
  return options;
}

/** All groups of `guest/kernel/config` together, as one fragment. */
export async function kernelFragment(directory: string): Promise<{ text: string; options: KernelOptions }> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".config")).sort();
  const parts = await Promise.all(names.map((name) => readFile(join(directory, name), "utf8")));
  const text = parts.join("\n");
  return { text, options: parseKernelConfig(text, directory) };
}

/**
 * What Kconfig made something else of, as "NAME: wanted y, is n": an option that the kernel no longer has, or one that another
 * one that is off goes before.
 */
export function lostOptions(wanted: KernelOptions, made: KernelOptions): string[] {
  return [...wanted]
    .map(([name, value]) => ({ name, value, is: made.get(name) ?? "n" }))
    .filter(({ value, is }) => value !== is)
    .map(({ name, value, is }) => `${name}: wanted ${value}, is ${is}`);
}
