/** The daemon under test: a process of its own with fresh directories, as an operator would start it. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync } from "node:fs";
import { appendFile, chmod, mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../src/base/log.js";
import { someoneAnswers } from "../../src/base/unix-socket.js";
import { loadNative, type Native } from "../../src/native/addon.js";
import { boxDirectoryAt, boxesDirectory, readBoxRecord } from "../../src/vmm/box-directory.js";
import { removeBoxCgroup } from "../../src/vmm/cgroup/remove.js";
import { removeHalfMade } from "../../src/vmm/templates/half-made.js";
import { CriClient, removeAllPods } from "./cri-client.js";
import { writeArchive, type NamedImage } from "./images.js";
import { machineState, type MachineScope, type MachineState } from "./machine.js";
import { bindDirectories, dropTestMounts } from "./mount-scripts.js";
import { projectDirectory } from "./project.js";
import { eventually, limit } from "./wait.js";

export interface DaemonOptions {
  /** Images to import before the daemon starts. */
  readonly images?: readonly NamedImage[];
  /** TOML added to the config file. */
  readonly config?: string;
  /** Network namespace that is the node's to the daemon, whose pods then get a network. Else they have none. */
  readonly nodeNetns?: string;
  /** It has the machine's mounts, but for those of tests, in a mount namespace of its own: `inMounts` acts there. */
  readonly apart?: boolean;
  /** On top of this process's. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The directory of the build that is started; else this one's. */
  readonly build?: string;
  /** Where the config makes it listen; else the state directory's `cri.sock`. */
  readonly socket?: string;
  /** Gives its directories a disk of their own, in memory; else they are on the machine's. */
  readonly diskBytes?: number | undefined;
}

/** `auto`, as an operator has it, unless the run asks for one driver. */
export const driver = process.env["A3S_TEST_DRIVER"] ?? "auto";

export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line of the built daemon to its end. */
export async function command(
  args: readonly string[],
  limitMs = 60_000,
  build = projectDirectory,
): Promise<CommandResult> {
  const child = spawn(process.execPath, [join(build, "dist/main.js"), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    signal: AbortSignal.timeout(limit(limitMs)),
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { status, stdout, stderr };
}

/** Nobody to call now; it may be started again. */
export class DaemonIsDown extends Error {
  constructor() {
    super("the daemon is not running");
  }
}

const running = new Set<Daemon>();

/** Those that a test has started and not removed yet. */
export function runningDaemons(): Daemon[] {
  return [...running];
}

/** A run of the tests under the native handler: `A3S_TEST_HANDLER=native`. */
function handlerTable(): string {
  return process.env["A3S_TEST_HANDLER"] === "native" ? nativeHandler : "";
}

const wantedStart = process.env["A3S_TEST_START"];

/** How Boxes of every test come up: `A3S_TEST_START=template`, `boot` or `pool`; else as an operator has it. */
export const start = wantedStart === "pool" ? "template" : wantedStart;

/** Of the sizes that most pods of tests have. */
const readyBoxes = [
  { vcpus: 2, memoryMib: 256, count: 2 },
  { vcpus: 1, memoryMib: 256, count: 1 },
];

/** All daemons of all runs share it: each would make its own behind its first Box. */
export const bootTemplates = join(projectDirectory, "build/boot-templates");

/** A test that says how Boxes start, or where templates are, is left alone. */
function withStart(config: string): string {
  const keys = { ...(start === undefined ? {} : { start }), boot_templates: bootTemplates };
  const lines = Object.entries(keys)
    .filter(([key]) => !new RegExp(`^(?:sandbox\\.)?${key} = `, "m").test(config))
    .map(([key, value]) => `${key} = "${value}"\n`);
  const table = "[sandbox]\n";
  if (config.includes(table)) return config.replace(table, table + lines.join(""));
  return lines.map((line) => `sandbox.${line}`).join("") + config;
}

/** With `A3S_TEST_START=pool`: TOML for the end of a config that has nothing to say of the handler or of ready Boxes. */
function readyTable(config: string): string {
  if (wantedStart !== "pool" || /^\[handlers\.microvm\]|ready = \[|start = "boot"/m.test(config)) return "";
  const sizes = readyBoxes.map(
    ({ vcpus, memoryMib, count }) => `{ vcpus = ${vcpus}, memory_mib = ${memoryMib}, count = ${count} }`,
  );
  return `[handlers.microvm]\nready = [${sizes.join(", ")}]\n`;
}

/** TOML of a handler named "native", for the end of a config. */
export const nativeHandler = '[handlers.native]\ndriver = "native"\n';

export class Daemon {
  /** Short: socket paths below it have 108 bytes at most. */
  readonly base: string;
  readonly root: string;
  readonly state: string;
  readonly socket: string;
  readonly logs: string;
  readonly cgroupParent: string;
  readonly #configFile: string;
  readonly #nodeNetns: string | undefined;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #apart: boolean;
  #build: string;
  #readyBoxes = 0;
  /** Where the agents' port listens, of what the configuration says. */
  #agentSockets: readonly string[] = [];
  #process: ChildProcess | undefined;
  #cri: CriClient | undefined;

  private constructor(base: string, cgroupParent: string, options: DaemonOptions) {
    const { socket, nodeNetns, environment, apart, build } = options;
    this.base = base;
    this.#apart = apart ?? false;
    this.#build = build ?? projectDirectory;
    this.#nodeNetns = nodeNetns;
    this.#environment = environment ?? {};
    this.root = join(base, "root");
    this.state = join(base, "state");
    this.socket = socket ?? join(this.state, "cri.sock");
    this.logs = join(base, "logs");
    this.cgroupParent = cgroupParent;
    this.#configFile = join(base, "config.toml");
  }

  /** Directories, cgroup, images, then the process; ready to be called when this resolves. */
  static async start(options: DaemonOptions = {}): Promise<Daemon> {
    const base = await mkdtemp(join(tmpdir(), "a3s-t"));
    await chmod(base, 0o711); // root of a pod's user namespace is another user
    const daemon = new Daemon(base, `/a3s-t${randomBytes(4).toString("hex")}`, options);
    if (options.diskBytes !== undefined) await addons().mountTmpfs(base, options.diskBytes, 0o711);
    await mkdir(daemon.logs, { mode: 0o755 });
    await daemon.#configure(options.config ?? "");
    for (const hierarchy of await cgroupHierarchies()) await mkdir(join(hierarchy, daemon.cgroupParent));
    if (options.images !== undefined) await daemon.importImages(options.images);
    await daemon.launch();
    running.add(daemon);
    return daemon;
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new DaemonIsDown();
    return pid;
  }

  /** False before its start, and as soon as its process has ended. */
  get alive(): boolean {
    return this.#process?.exitCode === null && this.#process.signalCode === null;
  }

  get cri(): CriClient {
    if (this.#cri === undefined) throw new DaemonIsDown();
    return this.#cri;
  }

  get scope(): MachineScope {
    const { pid: daemonPid, base, cgroupParent } = this;
    return { daemonPid, base, cgroupParent, readyBoxes: this.#readyBoxes };
  }

  async machine(): Promise<MachineState> {
    return await machineState(this.scope);
  }

  async importImages(images: readonly NamedImage[]): Promise<void> {
    const archive = join(this.base, "images.tar");
    await writeArchive(archive, images);
    const done = await this.command("image import", archive);
    await rm(archive);
    if (done.status !== 0) throw new Error(`image import ended with ${String(done.status)}: ${done.stderr}`);
  }

  /** A command of the command line on this daemon's directories; it need not run. */
  async command(name: string, ...args: readonly string[]): Promise<CommandResult> {
    const flags = ["--config", this.#configFile, "--root", this.root, "--state", this.state];
    return await command([...name.split(" "), ...flags, ...args], 60_000, this.#build);
  }

  /** Runs a program of the machine among the mounts of a daemon that is `apart`. */
  inMounts(program: string, ...args: readonly string[]): string {
    const enter = [`--mount=/proc/${String(this.pid)}/ns/mnt`, program, ...args];
    const { status, stdout, stderr } = spawnSync("nsenter", enter, { encoding: "utf8" });
    if (status !== 0) throw new Error(`${program} ended with ${String(status)}: ${stderr}`);
    return stdout;
  }

  /**
   * Starts the process on the directories there are, as a supervisor does after a crash; "elsewhere": as one in another container
   * is, in a mount namespace of its own, which has what the host has mounted then, and nothing later. `inMounts` acts there.
   */
  async launch(where: "here" | "elsewhere" = "here"): Promise<void> {
    const network = this.#nodeNetns === undefined ? "loopback" : "cni";
    const flags = ["--config", this.#configFile, "--root", this.root, "--state", this.state, "--driver", driver];
    const log = openSync(join(this.base, "daemon.log"), "a");
    const enter = this.#nodeNetns === undefined ? [] : ["nsenter", `--net=${this.#nodeNetns}`];
    const unshare = ["unshare", "--mount", "--propagation=private", "sh", "-c"];
    const leave = this.#apart ? [...unshare, dropTestMounts, tmpdir()] : [];
    if (where === "elsewhere") leave.push(...unshare, bindDirectories, this.state, this.root);
    const serve = [process.execPath, join(this.#build, "dist/main.js"), "serve", ...flags, "--network", network];
    const [program = "", ...args] = [...enter, ...leave, ...serve];
    const env = { ...process.env, ...this.#environment };
    const child = spawn(program, args, { stdio: ["ignore", log, log], env });
    closeSync(log);
    this.#process = child;
    this.#cri = new CriClient(this.socket);
    const ended = new Promise<never>((_, reject) => {
      child.once("exit", (code, signal) => {
        reject(new Error(`the daemon ended with ${String(signal ?? code)}`));
      });
      child.once("error", reject);
    });
    ended.catch(() => undefined);
    try {
      await Promise.race([this.#cri.ready(limit(30_000)), ended]);
      // CRI comes first, by some milliseconds.
      for (const path of this.#agentSockets) {
        const answers = async (): Promise<true | undefined> => (await someoneAnswers(path)) || undefined;
        await Promise.race([eventually(`${path} takes connections`, limit(30_000), answers), ended]);
      }
    } catch (thrown) {
      throw new Error(`the daemon does not serve; its log:\n${await this.logTail()}`, { cause: thrown });
    }
  }

  async #configure(text: string): Promise<void> {
    // An earlier build does not know of templates.
    const isThisBuild = this.#build === projectDirectory;
    const full = isThisBuild ? withStart(text) : text;
    const ready = isThisBuild ? readyTable(text) : "";
    this.#readyBoxes = ready === "" ? 0 : readyBoxes.reduce((sum, { count }) => sum + count, 0);
    const listen = /^\[sandboxes\]$[^[]*?^listen = \[(.*)\]/m.exec(text)?.[1] ?? "";
    this.#agentSockets = [...listen.matchAll(/unix:\/\/([^"]+)/g)].flatMap(([, path]) => path ?? []);
    await writeFile(this.#configFile, `${full}\n${ready}${handlerTable()}`);
  }

  /** Ends it, and starts it again with this in place of what its options have said. */
  async reconfigure(text: string): Promise<void> {
    await this.stop();
    await this.#configure(text);
    await this.launch();
  }

  /** Ends it, and starts another build on the directories there are: what an operator does who puts another version in place. */
  async replaceWith(build: string): Promise<void> {
    await this.stop();
    this.#build = build;
    await this.launch();
  }

  /** Asks it to end and waits for that; pods stay. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<number | null> {
    const child = this.#process;
    this.#cri?.close();
    this.#cri = undefined;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), limit(20_000));
    const code = await ended;
    clearTimeout(timer);
    return code;
  }

  /**
   * What a reboot does: no process is left, no mount, no namespace, no cgroup, and nothing of the state directory. Then the
   * daemon is started on the root directory that there is.
   */
  async reboot(): Promise<void> {
    await this.stop("SIGKILL");
    for (const hierarchy of await cgroupHierarchies()) {
      // Of version 2: all that pods have is in a group there.
      const kill = join(hierarchy, this.cgroupParent, "cgroup.kill");
      if (existsSync(kill)) await writeFile(kill, "1");
    }
    await this.#removeHalfMade();
    await this.#endLeftBoxes(); // those that are ready have a group elsewhere
    await this.#unmountAll();
    for (const hierarchy of await cgroupHierarchies()) await removeGroupsBelow(join(hierarchy, this.cgroupParent));
    await rm(this.state, { recursive: true });
    await this.launch();
  }

  async #unmountAll(): Promise<void> {
    const mounted = (await readFile("/proc/self/mountinfo", "utf8"))
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((target) => target.startsWith(`${this.base}/`));
    for (const target of mounted.reverse()) spawnSync("umount", ["--lazy", target]);
  }

  /** Boxes that are no pod's, or left by a test that failed: the next one's daemon would find their groups and processes. */
  async #endLeftBoxes(): Promise<void> {
    const names = await readdir(boxesDirectory(this.state)).catch(() => []);
    for (const name of names) {
      const directory = boxDirectoryAt(join(boxesDirectory(this.state), name));
      const record = await readBoxRecord(directory).catch(() => undefined);
      if (record !== undefined) await removeBoxCgroup(record.cgroups, record.id, AbortSignal.timeout(limit(10_000)));
    }
    if (names.length > 0) await this.#unmountAll();
  }

  /** Every pod, through CRI. */
  async removePods(): Promise<void> {
    await removeAllPods(this.cri);
  }

  /** Pods, process, cgroup and directories: nothing is left. Keeps the log where `A3S_TEST_KEEP` names a directory. */
  async remove(): Promise<void> {
    try {
      if (this.#process?.exitCode === null) await this.removePods();
    } finally {
      running.delete(this);
      await this.stop();
      await this.#removeHalfMade();
      await this.#endLeftBoxes();
      const keep = process.env["A3S_TEST_KEEP"];
      if (keep !== undefined) await appendFile(join(keep, "daemons.log"), await this.logTail(1 << 24));
      for (const hierarchy of await cgroupHierarchies()) {
        await rmdir(join(hierarchy, this.cgroupParent)).catch((thrown: unknown) => {
          if (!(thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT")) throw thrown;
        });
      }
      await addons().unmount(this.base, true);
      await rm(this.base, { recursive: true, force: true });
    }
  }

  /** A daemon that was killed may have been making a template: the next one would take away what that was made of. */
  async #removeHalfMade(): Promise<void> {
    await removeHalfMade(this.state, { native: addons(), log: createLogger("error") });
  }

  async logTail(bytes = 6_000): Promise<string> {
    const text = await readFile(join(this.base, "daemon.log"), "utf8").catch(() => "(no log)");
    return text.slice(-bytes);
  }
}

function addons(): Native {
  return loadNative(join(projectDirectory, "build/assets")).native;
}

async function removeGroupsBelow(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const group = join(directory, entry.name);
    await removeGroupsBelow(group);
    await eventually(`${group} can be removed`, 10_000, async () => {
      await rmdir(group);
      return true;
    });
  }
}

/** Roots of the cgroup file systems of this machine: one on v2, one per controller on v1. */
export async function cgroupHierarchies(): Promise<string[]> {
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  const found = new Set<string>();
  for (const line of mounts.split("\n")) {
    const [left, right] = line.split(" - ");
    const mountPoint = left?.split(" ")[4];
    if (mountPoint !== undefined && right !== undefined && /^cgroup2? /.test(right)) found.add(mountPoint);
  }
  return [...found];
}
