/**
 * A network namespace that is the node's to a daemon: bridges, rules and host ports of its pods are made there, and
 * nothing of the machine's own network is touched.
 */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadNative } from "../../src/native/addon.js";
import { projectFolder } from "./project.js";
import { limit } from "./wait.js";

/** Where Debian's containernetworking-plugins are. */
const pluginFolder = "/usr/lib/cni";

export class NodeNetwork {
  readonly folder: string;
  /** Path of the namespace. */
  readonly netns: string;
  readonly #children = new Set<ChildProcess>();

  private constructor(folder: string) {
    this.folder = folder;
    this.netns = join(folder, "node");
  }

  /** With the loopback up and forwarding on. */
  static async create(): Promise<NodeNetwork> {
    const network = new NodeNetwork(await mkdtemp(join(tmpdir(), "a3s-n")));
    await mkdir(network.confDir);
    const { native } = loadNative(join(projectFolder, "build/assets"));
    await native.createNetns(network.netns);
    for (const name of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) {
      await network.run("sh", "-c", `echo 1 > /proc/sys/net/${name}`);
    }
    return network;
  }

  get confDir(): string {
    return join(this.folder, "net.d");
  }

  /** What a daemon's config has to say to use it. */
  get daemonConfig(): string {
    return `[cni]\nconf_dir = "${this.confDir}"\nbin_dirs = ["${pluginFolder}"]\n`;
  }

  async configure(plugins: readonly object[]): Promise<void> {
    await writeFile(
      join(this.confDir, "10-net.conflist"),
      JSON.stringify({ cniVersion: "1.0.0", name: "net", plugins }),
    );
  }

  async unconfigure(): Promise<void> {
    await rm(join(this.confDir, "10-net.conflist"));
  }

  /** host-local's section for these subnets, with default routes. */
  ipam(...subnets: readonly string[]): object {
    return {
      type: "host-local",
      dataDir: join(this.folder, "ipam"),
      ranges: subnets.map((subnet) => [{ subnet }]),
      routes: subnets.map((subnet) => ({ dst: subnet.includes(":") ? "::/0" : "0.0.0.0/0" })),
    };
  }

  /** Addresses that are given away. */
  async reserved(): Promise<string[]> {
    const names = await readdir(join(this.folder, "ipam/net")).catch(() => []);
    return names.filter((name) => /^[0-9a-f]+[.:]/.test(name));
  }

  /** Runs a program on the node to its end; answers its standard output. */
  async run(program: string, ...args: readonly string[]): Promise<string> {
    const all = [`--net=${this.netns}`, program, ...args];
    return (await promisify(execFile)("nsenter", all, { timeout: limit(30_000) })).stdout;
  }

  /** Starts one that runs until `remove`, and waits for its first output. */
  async serve(program: string, ...args: readonly string[]): Promise<void> {
    const child = spawn("nsenter", [`--net=${this.netns}`, program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    this.#children.add(child);
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => {
        reject(new Error(`${program} ended with ${String(code)}`));
      });
      child.stdout.once("data", () => {
        resolve();
      });
    });
  }

  async remove(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    const { native } = loadNative(join(projectFolder, "build/assets"));
    await native.removeNetns(this.netns);
    await rm(this.folder, { recursive: true, force: true });
  }
}
