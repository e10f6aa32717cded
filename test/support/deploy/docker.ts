/** A Docker of the distribution's packages, in mount and network namespaces of its own: nothing of it is on the machine. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setupContext } from "../../../scripts/setup/set-up.js";
import { docker } from "../../../scripts/setup/assets/docker.js";
import { isThere } from "../../../src/base/is-there.js";
import { projectDirectory } from "../project.js";
import { eventually, limit } from "../wait.js";
import { ended, succeeded, type Ended, type EndedOptions } from "./in-root.js";

const startMs = 60_000;
const callMs = 300_000;

export class Docker {
  readonly #directory: string;
  /** For the client. */
  readonly env: NodeJS.ProcessEnv;
  readonly #sockets: string;
  readonly #daemon: ChildProcess;

  private constructor(directory: string, sockets: string, env: NodeJS.ProcessEnv, daemon: ChildProcess) {
    this.#directory = directory;
    this.#sockets = sockets;
    this.env = env;
    this.#daemon = daemon;
  }

  static async start(): Promise<Docker> {
    const context = setupContext(projectDirectory, AbortSignal.timeout(limit(callMs)), () => undefined);
    const packages = await docker(context);
    const directory = await mkdtemp(join(projectDirectory, "build", "docker-test-")); // on a disk: overlays lie in it
    const run = await mkdtemp(join(tmpdir(), "a3s-d-")); // sockets' paths are short
    const root = join(packages, "engine");
    const programs = ["usr/sbin", "usr/bin", "sbin"].map((name) => join(root, name)).join(":");
    const libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map((name) => join(root, name));
    await mkdir(join(directory, "config/cli-plugins"), { recursive: true });
    const plugins = join(packages, "plugins/usr/libexec/docker/cli-plugins");
    for (const name of await readdir(plugins)) {
      await symlink(join(plugins, name), join(directory, "config/cli-plugins", name));
    }
    const env = {
      ...process.env,
      PATH: `${programs}:${process.env["PATH"] ?? ""}`,
      DOCKER_HOST: `unix://${run}/docker.sock`,
      DOCKER_CONFIG: join(directory, "config"),
    };
    const words = [
      ...["--net", "--mount", "--propagation", "private", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"],
      ...["env", `LD_LIBRARY_PATH=${libraries.filter((path) => path.includes("/usr/")).join(":")}`],
      ...[join(root, "usr/sbin/dockerd"), "--data-root", join(directory, "data"), "--exec-root", join(run, "exec")],
      ...["--pidfile", join(run, "pid"), "-H", env.DOCKER_HOST, "--storage-driver", "overlay2"],
      ...["--cgroup-parent", `/a3s-docker-${process.pid}`],
    ];
    const daemon = spawn("unshare", words, { env, stdio: ["ignore", "pipe", "pipe"] });
    const said: string[] = [];
    for (const stream of [daemon.stdout, daemon.stderr])
      stream.on("data", (chunk: Buffer) => said.push(chunk.toString()));
    const made = new Docker(directory, run, env, daemon);
    try {
      await eventually("dockerd's socket", startMs, async () => {
        if (daemon.exitCode !== null) throw new Error(`dockerd ended: ${said.join("").slice(-2000)}`);
        return (await isThere(join(run, "docker.sock"))) && (await made.ended(["version"])).status === 0
          ? true
          : undefined;
      });
      return made;
    } catch (thrown) {
      await made.stop();
      throw thrown;
    }
  }

  async ended(args: readonly string[], more: Partial<EndedOptions> = {}): Promise<Ended> {
    const env = { ...this.env, ...more.env };
    return await ended("docker", args, { limitMs: limit(callMs), ...more, env });
  }

  async succeeded(args: readonly string[], more: Partial<EndedOptions> = {}): Promise<string> {
    const env = { ...this.env, ...more.env };
    return await succeeded("docker", args, { limitMs: limit(callMs), ...more, env });
  }

  /** A program in the daemon's network, where containers' ports are. */
  async near(file: string, args: readonly string[], more: Partial<EndedOptions> = {}): Promise<Ended> {
    const words = ["--net", `--target=${String(this.#daemon.pid)}`, "--", file, ...args];
    const env = { ...this.env, ...more.env };
    return await ended("nsenter", words, { limitMs: limit(callMs), ...more, env });
  }

  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.#daemon;
    if (exitCode === null && signalCode === null) {
      const over = new Promise((resolve) => this.#daemon.once("close", resolve));
      this.#daemon.kill("SIGTERM");
      await over;
    }
    for (const directory of [this.#directory, this.#sockets]) await rm(directory, { recursive: true, force: true });
  }

  /** A directory that goes with it. */
  async directory(name: string): Promise<string> {
    const path = join(this.#directory, name);
    await mkdir(path);
    return path;
  }
}
