/** What the tests of real Boxes share: a factory with a state directory of its own, and the machine before and after. */
import { constants } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errnoOf } from "../../src/base/errors.js";
import { newContainerId, newBoxId, type BoxId } from "../../src/base/ids.js";
import { createLogger } from "../../src/base/log.js";
import { loadNative } from "../../src/native/addon.js";
import { networkNamespaces } from "../../src/net/netns.js";
import type { Box, BoxFactory, BoxSpec } from "../../src/vmm/box.js";
import { openBoxFactory, type BoxFactoryOptions } from "../../src/vmm/open-box-factory.js";
import type { OwnersVerdict } from "../../src/vmm/share/probe-owners.js";
import { removeHalfMade, templatesDirectory } from "../../src/vmm/templates/half-made.js";
import { busyboxProgram } from "../support/busybox.js";
import { bootTemplates, start } from "../support/daemon.js";
import { projectDirectory } from "../support/project.js";
import { limit } from "../support/wait.js";

const assetsDir = process.env["A3S_TEST_ASSETS"] ?? join(projectDirectory, "build/assets");
export const driver = process.env["A3S_TEST_DRIVER"] === "krun" ? "krun" : "qemu";
const log = createLogger("warn");
export const { native } = loadNative(assetsDir);

/** A signal for one step of a test. */
export function within(ms: number): AbortSignal {
  return AbortSignal.timeout(limit(ms));
}

export class BoxBench implements AsyncDisposable {
  readonly directory: string;
  readonly cgroupParent: string;
  readonly #nets;
  readonly #ids: BoxId[] = [];
  readonly #closing: AbortController;
  readonly #options: FactoryOptions;
  factory: BoxFactory;

  private constructor(directory: string, factory: BoxFactory, options: FactoryOptions, closing: AbortController) {
    this.#options = options;
    this.#closing = closing;
    this.directory = directory;
    this.cgroupParent = `/a3s-tvmm-${directory.slice(-6)}`;
    this.factory = factory;
    this.#nets = networkNamespaces(join(directory, "state"), native);
  }

  static async open(options: FactoryOptions = {}): Promise<BoxBench> {
    const directory = await mkdtemp(join(tmpdir(), "a3s-vmm-"));
    const closing = new AbortController();
    const all = { ...options, closing: closing.signal };
    return new BoxBench(directory, await openFactory(directory, all), all, closing);
  }

  /** As a daemon that was started again; or one that does not ask whether owners can be mapped. */
  async reopen(owners?: OwnersVerdict): Promise<void> {
    const over = owners === undefined ? {} : { owners };
    this.factory = await openFactory(this.directory, { ...this.#options, ...over });
  }

  /** As a daemon that ends: nothing is made in the background any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.factory.idle();
  }

  async spec(over: Partial<BoxSpec> = {}): Promise<BoxSpec & { readonly netnsPath: string }> {
    const id = newBoxId();
    this.#ids.push(id);
    const netnsPath = await this.#nets.create(id);
    const { cgroupParent } = this;
    return { id, vcpus: 1, memoryMib: 256, tap: null, cgroupParent, ...over, netnsPath };
  }

  async boot(over: Partial<BoxSpec> = {}): Promise<Box> {
    return await this.bootOf(await this.spec(over));
  }

  async bootOf(spec: BoxSpec): Promise<Box> {
    return await this.factory.boot(spec, within(60_000));
  }

  /** A snapshot with a busybox in it. */
  async snapshot(): Promise<{ lowers: string[]; upper: string; work: string }> {
    const layer = join(this.directory, "layer");
    const own = join(this.directory, newContainerId().slice(0, 12));
    await mkdir(join(layer, "bin"), { recursive: true });
    // once: a program that runs must not be written to
    const program = join(layer, "bin/busybox");
    await copyFile(await busyboxProgram(), program, constants.COPYFILE_EXCL).catch((thrown: unknown) => {
      if (errnoOf(thrown) !== "EEXIST") throw thrown;
    });
    await Promise.all(["proc", "sys", "dev", "tmp"].map((name) => mkdir(join(layer, name), { recursive: true })));
    await Promise.all(["upper", "work"].map((name) => mkdir(join(own, name), { recursive: true })));
    return { lowers: [layer], upper: join(own, "upper"), work: join(own, "work") };
  }

  async discard(id: BoxId): Promise<void> {
    await this.factory.discard(id, undefined, within(20_000));
    await this.#nets.remove(id);
  }

  /** What Boxes of this bench have of the machine: mounts, cgroups, processes, files. Nothing of templates, nor below. */
  async leftovers(): Promise<string[]> {
    const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) => this.#isOurs(line));
    const groups: string[] = [];
    for (const hierarchy of await readdir("/sys/fs/cgroup").catch(() => [])) {
      const path = join("/sys/fs/cgroup", hierarchy, this.cgroupParent);
      if ((await readdir(path).catch(() => undefined)) !== undefined) groups.push(path);
    }
    const files = (await readdir(join(this.directory, "state"), { recursive: true })).filter(
      (one) => one.includes("/") && !one.startsWith("templates/"),
    );
    return [...mounts, ...groups, ...(await this.processes()).map(({ command }) => command), ...files];
  }

  /** Processes that name this bench's directory. */
  async processes(): Promise<{ pid: number; command: string }[]> {
    const found: { pid: number; command: string }[] = [];
    for (const pid of await readdir("/proc")) {
      if (!/^\d+$/.test(pid)) continue;
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      if (this.#isOurs(command)) found.push({ pid: Number(pid), command: command.replaceAll("\0", " ") });
    }
    return found;
  }

  #isOurs(text: string): boolean {
    return text.includes(`${this.directory}/`) && !text.includes(`${templatesDirectory(this.#state)}/`);
  }

  get #state(): string {
    return join(this.directory, "state");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    for (const id of this.#ids) await this.discard(id);
    await removeHalfMade(this.#state, { native, log });
    await rm(this.directory, { recursive: true, force: true });
  }
}

type FactoryOptions = Partial<Pick<BoxFactoryOptions, "owners" | "templates" | "closing" | "log">>;

/** Boxes go on from templates as in a daemon of tests (`A3S_TEST_START`); who asks for them has some of its own. */
export async function openFactory(directory: string, options: FactoryOptions = {}): Promise<BoxFactory> {
  const shared = { templates: start === "template", templatesDirectory: bootTemplates };
  const own = { templatesDirectory: join(directory, "kept") };
  return await openBoxFactory({
    state: join(directory, "state"),
    layers: directory,
    assetsDir,
    native,
    log,
    driver,
    bootTimeoutMs: limit(60_000),
    containerRuntime: "own",
    cgroups: { manager: "cgroupfs", everywhere: false },
    healthTimeoutMs: 0,
    ...(options.templates === undefined ? shared : own),
    ...options,
  });
}
