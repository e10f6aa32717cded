/** containerd, built from its Go module, on folders of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../../scripts/setup/cache.js";
import { sourceInputs } from "../../scripts/setup/fingerprint.js";
import { run, type SetupContext, tryRun } from "../../scripts/setup/run.js";
import { CriClient, image } from "../../test/support/cri-client.js";

export const containerdVersion = "2.4.2";

const moduleFolder = "bench/pull/containerd";
const startLimitMs = 60_000;
const stopLimitMs = 20_000;

/** The folder with `containerd`. Needs Go, as new as the module asks for. */
export async function buildContainerd(context: SetupContext): Promise<string> {
  const { signal } = context;
  const go = await tryRun("go", ["env", "GOVERSION"], { signal });
  if (go === undefined) throw new Error(`bench pull builds containerd: install Go (see ${moduleFolder}/go.mod)`);
  return await cached(context, {
    name: "containerd",
    inputs: [go.trim(), ...(await sourceInputs(context.root, [`${moduleFolder}/go.mod`, `${moduleFolder}/go.sum`]))],
    build: async (folder, logFile) => {
      const module = "github.com/containerd/containerd/v2";
      const flags = [
        "-mod=readonly",
        "-trimpath",
        "-ldflags",
        `-s -w -X ${module}/version.Version=${containerdVersion}`,
      ];
      const cwd = join(context.root, moduleFolder);
      await run("go", ["build", ...flags, "-o", `${folder}/`, `${module}/cmd/containerd`], {
        ...{ signal, cwd, logFile },
        env: { CGO_ENABLED: "0" },
      });
    },
  });
}

export class Containerd {
  readonly cri: CriClient;
  readonly #process: ChildProcess;

  private constructor(socket: string, process: ChildProcess) {
    this.#process = process;
    this.cri = new CriClient(socket);
  }

  /** Its defaults, but for folders, and a registry (host:port) without TLS. */
  static async start(programs: string, folder: string, registry: string): Promise<Containerd> {
    const hosts = join(folder, "certs.d", registry);
    await mkdir(hosts, { recursive: true });
    await writeFile(join(hosts, "hosts.toml"), `server = "http://${registry}"\n[host."http://${registry}"]\n`);
    await writeFile(join(folder, "config.toml"), configText(folder));
    const log = openSync(join(folder, "log"), "a");
    const args = ["--config", join(folder, "config.toml")];
    const child = spawn(join(programs, "containerd"), args, { stdio: ["ignore", log, log] });
    closeSync(log);
    const started = new Containerd(join(folder, "containerd.sock"), child);
    try {
      await started.cri.ready(startLimitMs);
      await started.#untilImagesAreServed();
    } catch (thrown) {
      await started.stop();
      const tail = (await readFile(join(folder, "log"), "utf8")).slice(-3000);
      throw new Error(`containerd does not serve:\n${tail}`, { cause: thrown });
    }
    return started;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
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

function configText(folder: string): string {
  const cri = '[plugins."io.containerd.cri.v1.images"]\n';
  return `version = 3
root = "${folder}/root"
state = "${folder}/state"
[grpc]
address = "${folder}/containerd.sock"
${cri}snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "${folder}/certs.d"
`;
}
