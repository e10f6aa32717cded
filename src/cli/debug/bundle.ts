import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { pack, type Pack } from "tar-stream";
import { messageOf } from "../../base/errors.js";
import { loadConfig } from "../../config/load.js";
import { configFlags, exitStatus, parseFlags, print } from "../command.js";
import { sourcesOf, type Source } from "./sources.js";

/** Gathers what a bug report needs into a tar.gz that root alone may read. What can't be had is named in it, with why. */
export async function debugBundle(args: string[]): Promise<number> {
  const { values } = parseFlags({ args, options: { ...configFlags, output: { type: "string" } } as const });
  const config = await loadConfig(values);
  const stamp = new Date().toISOString().replace(/[:.]/g, "-");
  const path = resolve(values.output ?? `a3s-box-debug-${stamp}.tar.gz`);
  const missing = await write(path, await sourcesOf(config));
  print(`${path}\n`);
  for (const line of missing) print(`not in it: ${line}\n`);
  print("Command lines, environments, annotations and credentials are left out; guests' consoles are as they are.\n");
  return exitStatus.ok;
}

async function write(path: string, sources: readonly Source[]): Promise<string[]> {
  const archive = pack();
  const file = createWriteStream(path, { mode: 0o600, flags: "wx" });
  const written = pipeline(archive, createGzip(), file);
  try {
    const missing: string[] = [];
    for (const source of sources) {
      const text = await source.read().catch((thrown: unknown) => {
        missing.push(`${source.name}: ${messageOf(thrown)}`);
        return undefined;
      });
      if (text !== undefined) await add(archive, source.name, text);
    }
    await add(archive, "missing.txt", missing.map((line) => `${line}\n`).join(""));
    archive.finalize();
    await written;
    return missing;
  } catch (thrown) {
    archive.destroy();
    await written.catch(() => undefined);
    if (!file.pending) await rm(path, { force: true });
    throw thrown;
  }
}

async function add(archive: Pack, name: string, text: string): Promise<void> {
  await new Promise<void>((done, failed) => {
    archive.entry({ name: `a3s-box-debug/${name}`, mode: 0o600 }, text, (thrown) => {
      if (thrown) failed(thrown);
      else done();
    });
  });
}
