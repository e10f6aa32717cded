/** containerd, on directories of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CriClient, image } from "./cri-client.js";
import { projectDirectory } from "./project.js";

const startLimitMs = 60_000;
const stopLimitMs = 20_000;

/** Where the set-up puts it and its shim; undefined where there is no Go to build it with. */
export function containerdDirectory(): string | undefined {
  const directory = join(projectDirectory, "build/assets/containerd");
  return existsSync(directory) ? directory : undefined;
}

/** The set-up's own, which maps the owners of mounts; undefined where `npm run setup -- cluster` has not built it. */
export function mappingRunc(): string | undefined {
  const program = join(projectDirectory, "build/assets/bin/runc");
  return existsSync(program) ? program : undefined;
}

export class Containerd {
  readonly cri: CriClient;
  readonly socket: string;
  readonly #log: string;
  readonly #process: ChildProcess;

  private constructor(directory: string, process: ChildProcess) {
    this.#process = process;
    this.#log = join(directory, "log");
    this.socket = join(directory, "containerd.sock");
    this.cri = new CriClient(this.socket);
  }

  /**
   * Its defaults, but for directories, a registry (host:port) without TLS, and what pods need. `programs` is the directory with it
   * and its shim.
   */
  static async start(programs: string, directory: string, registry: string, pods?: PodOptions): Promise<Containerd> {
    const hosts = join(directory, "certs.d", registry);
    await mkdir(hosts, { recursive: true });
    await writeFile(join(hosts, "hosts.toml"), `server = "http://${registry}"\n[host."http://${registry}"]\n`);
    await writeFile(join(directory, "config.toml"), configText(directory, pods));
    const log = openSync(join(directory, "log"), "a");
    const args = ["--config", join(directory, "config.toml")];
    const enter = pods === undefined ? [] : ["nsenter", `--net=${pods.netns}`];
    const [program = "", ...words] = [...enter, join(programs, "containerd"), ...args];
    const first = pods?.runc === undefined ? [] : [dirname(pods.runc)];
    const env = { ...process.env, PATH: [...first, programs, process.env["PATH"]].join(":") };
    const child = spawn(program, words, { stdio: ["ignore", log, log], env });
    closeSync(log);
    const started = new Containerd(directory, child);
    try {
      await started.cri.ready(startLimitMs);
      await started.#untilImagesAreServed();
    } catch (thrown) {
      await started.stop();
      throw new Error(`containerd does not serve:\n${await started.logTail()}`, { cause: thrown });
    }
    return started;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  async logTail(bytes = 3_000): Promise<string> {
    return (await readFile(this.#log, "utf8")).slice(-bytes);
  }

  async stop(): Promise<void> {
    this.cri.close();
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), stopLimitMs);
    await ended;
    clearTimeout(timer);
  }

  /** The socket is there before the plugin for CRI is. */
  async #untilImagesAreServed(): Promise<void> {
    const endMs = performance.now() + startLimitMs;
    for (;;) {
      try {
        await this.cri.call(image.listImages, {}, { exactMs: 5000 });
        return;
      } catch (thrown) {
        if (performance.now() > endMs) throw thrown;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}

/** For a containerd that runs pods. */
export interface PodOptions {
  /** Network namespace that is the node's. */
  readonly netns: string;
  readonly cniConfDir: string;
  readonly pauseImage: string;
  /** A program that makes the containers; else the distribution's. */
  readonly runc?: string;
}

function podConfigText({ cniConfDir, pauseImage }: PodOptions): string {
  return `[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${pauseImage}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "${cniConfDir}"
`;
}

function configText(directory: string, pods: PodOptions | undefined): string {
  const cri = '[plugins."io.containerd.cri.v1.images"]\n';
  return `version = 3
root = "${directory}/root"
state = "${directory}/state"
[grpc]
address = "${directory}/containerd.sock"
${cri}snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "${directory}/certs.d"
${pods === undefined ? "" : podConfigText(pods)}`;
}
