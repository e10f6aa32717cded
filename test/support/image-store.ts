/** An image store of a test's own, in a temporary directory, with what the tests look at in it. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createLogger } from "../../src/base/log.js";
import { writersLock } from "../../src/image/content/ingest.js";
import type { ImageStore } from "../../src/image/image-store.js";
import { proxyFromEnvironment } from "../../src/base/proxy.js";
import type { RegistryOptions } from "../../src/image/registry/registry-client.js";
import { openStore, type StoreOptions } from "../../src/image/store/open-store.js";
import { loadNative, type Native } from "../../src/native/addon.js";
import { projectDirectory } from "./project.js";

export interface TestStore {
  readonly store: ImageStore;
  /** The store's directory. */
  readonly directory: string;
  readonly native: Native;
  /** Blobs and layers there now, by hex digest. */
  contents(): Promise<{ blobs: string[]; layers: string[] }>;
  /** What must be empty when nothing is under way. */
  leftovers(): Promise<string[]>;
  /** Another process's view: the same directory opened once more. */
  openAgain(options?: Partial<StoreOptions>): Promise<ImageStore>;
  close(): Promise<void>;
}

/** For registries of the test's own: nothing of this machine's settings, and no patience. */
export function registryOptions(options: Partial<RegistryOptions> = {}): RegistryOptions {
  return {
    hostsDirs: [],
    plainHttp: [],
    logins: {},
    dockerConfig: undefined,
    proxies: proxyFromEnvironment({}),
    stallMs: 20_000,
    retryDelayMs: 5,
    ...options,
  };
}

const assetsDir = join(projectDirectory, "build", "assets");

/** The store of a directory, opened by this process. */
export async function openTestStore(directory: string, options: Partial<StoreOptions> = {}): Promise<ImageStore> {
  return await openStore({
    directory,
    native: loadNative(assetsDir).native,
    assetsDir,
    log: createLogger("error"),
    pinned: [],
    defaultRegistry: "docker.io",
    registry: registryOptions(),
    ...options,
  });
}

export async function makeTestStore(options: Partial<StoreOptions> = {}): Promise<TestStore> {
  const top = await mkdtemp(join(tmpdir(), "a3s-test-images-"));
  const directory = join(top, "images");
  const { native } = loadNative(assetsDir);
  const openAgain = async (more: Partial<StoreOptions> = {}): Promise<ImageStore> =>
    await openTestStore(directory, { ...options, ...more });
  const store = await openAgain();
  return {
    store,
    directory,
    native,
    openAgain,
    contents: async () => ({
      blobs: (await readdir(join(directory, "blobs", "sha256"))).sort(),
      layers: (await readdir(join(directory, "layers"))).sort(),
    }),
    leftovers: async () => {
      const own = await Promise.all(
        (await readdir(join(directory, "ingest"))).map((id) => readdir(join(directory, "ingest", id))),
      );
      return [...own.flat().filter((name) => name !== writersLock), ...(await readdir(join(directory, "trash")))];
    },
    close: async () => {
      await store.close();
      await rm(top, { recursive: true, force: true });
    },
  };
}

/** Runs a program; its standard output. */
export async function run(file: string, args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(file, args, { maxBuffer: 16 * 1024 * 1024 })).stdout;
}

/** "mode uid gid type path" of everything below a directory, sorted: two trees can be compared by it. */
export async function listTree(directory: string): Promise<string[]> {
  const found = await run("find", [directory, "-mindepth", "1", "-printf", "%04m %U %G %y %P %l\\n"]);
  return found
    .trim()
    .split("\n")
    .map((line) => line.trimEnd())
    .sort();
}
