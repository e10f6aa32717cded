import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { createLogger } from "../base/log.js";
import { type ConfigFlags, loadConfig } from "../config/load.js";
import type { Image, ImageStore } from "../image/image-store.js";
import { openImageStore } from "../image/open-image-store.js";
import { loadNative } from "../native/addon.js";
import { configFlags, exitStatus, parseFlags, print, usageError } from "./command.js";
import { table } from "./table.js";

/** Brings in the images of an archive. */
export async function imageImport(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options: configFlags, allowPositionals: true });
  const [file, more] = positionals;
  if (file === undefined) throw usageError("image import: which FILE?");
  if (more !== undefined) throw usageError(`image import: one FILE at a time, and there is also "${more}"`);
  const images = await withStore(values, async (store) => await store.importArchive(resolve(file), untilInterrupted()));
  for (const image of images) print(`${image.id}  ${[...image.repoTags, ...image.repoDigests][0] ?? "(no name)"}\n`);
  return exitStatus.ok;
}

/** Lists the images: a table, or JSON. */
export async function imageList(args: string[]): Promise<number> {
  const { values } = parseFlags({ args, options: { ...configFlags, json: { type: "boolean" } } });
  const images = await withStore(values, (store) => Promise.resolve(store.list()));
  print(values.json === true ? `${JSON.stringify(images.map(forJson), null, 2)}\n` : imageTable(images));
  return exitStatus.ok;
}

/** Opens the store of the root folder; a daemon that serves from it sees the change. */
async function withStore<T>(flags: ConfigFlags, use: (store: ImageStore) => Promise<T>): Promise<T> {
  const config = await loadConfig(flags);
  process.umask(0o022);
  const log = createLogger("warn");
  const { native } = loadNative(config.assets.dir);
  await mkdir(config.root, { recursive: true, mode: 0o711 });
  const store = await openImageStore({ config, log, native });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

function untilInterrupted(): AbortSignal {
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.once(name, () => {
      interrupted.abort();
    });
  }
  return interrupted.signal;
}

function imageTable(images: readonly Image[]): string {
  const rows = images.flatMap((image) => {
    const names = image.repoTags.length > 0 ? image.repoTags : [image.repoDigests[0] ?? "(no name)"];
    return names.map((name) => [name, image.id.slice("sha256:".length, 19), mib(image.sizeBytes)]);
  });
  return table([["IMAGE", "ID", "SIZE"], ...rows]);
}

function mib(bytes: bigint): string {
  return `${(Number(bytes) / 1_048_576).toFixed(1)} MiB`;
}

function forJson({ id, repoTags, repoDigests, sizeBytes, pinned, config }: Image) {
  return { id, repoTags, repoDigests, sizeBytes: Number(sizeBytes), pinned, platform: config.platform };
}
