/**
 * A network namespace that is the node's to a daemon: bridges, rules and host ports of its pods are made there, and
 * nothing of the machine's own network is touched.
 */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadNative } from "../../src/native/addon.js";
import { projectDirectory } from "./project.js";
import { limit } from "./wait.js";

/** Where Debian's containernetworking-plugins are. */
const pluginDirectory = "/usr/lib/cni";

/** The node's own, on the link that leads out. */
export const nodeAddress = "192.0.2.1";
/** Links that a node has before its first pod. */
export const nodeLinks: readonly string[] = ["lo", "uplink", "outside"];

export class NodeNetwork {
  readonly directory: string;
  /** Path of the namespace. */
  readonly netns: string;
  readonly #children = new Set<ChildProcess>();

  readonly #own: boolean;

  private constructor(directory: string, own: boolean) {
    this.directory = directory;
    this.#own = own;
    this.netns = own ? join(directory, "node") : "/proc/self/ns/net";
  }

  /** With the loopback up and forwarding on. */
  static async create(): Promise<NodeNetwork> {
    const network = new NodeNetwork(await mkdtemp(join(tmpdir(), "a3s-n")), true);
    const { native } = loadNative(join(projectDirectory, "build/assets"));
    await native.createNetns(network.netns);
    await network.#prepare();
    return network;
  }

  /** The one that this process is in, which must be nobody else's. */
  static async here(): Promise<NodeNetwork> {
    const network = new NodeNetwork(await mkdtemp(join(tmpdir(), "a3s-n")), false);
    if ((await network.links()).join() !== "lo")
      throw new Error("this network namespace is in use: enter a new one first");
    await network.#prepare();
    return network;
  }

  async #prepare(): Promise<void> {
    await mkdir(this.confDir);
    await this.run("ip", "link", "set", "lo", "up");
    // What leads out, as a kubelet wants to see it; nobody is at its other end.
    await this.run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "outside");
    for (const name of ["uplink", "outside"]) await this.run("ip", "link", "set", name, "up");
    await this.run("ip", "address", "add", `${nodeAddress}/24`, "dev", "uplink");
    await this.run("ip", "route", "add", "default", "via", "192.0.2.254");
    for (const name of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) {
      await this.run("sh", "-c", `echo 1 > /proc/sys/net/${name}`);
    }
  }

  /** Names of all links. */
  async links(): Promise<string[]> {
    return [...(await this.run("ip", "-o", "link")).matchAll(/^\d+: ([^:@]+)/gm)].map(([, name = ""]) => name);
  }

  /** Whether the kernel has links of the type ("macvlan"). */
  async canLink(type: string): Promise<boolean> {
    const lower = type === "macvlan" ? ["link", "uplink"] : [];
    try {
      await this.run("ip", "link", "add", ...lower, "probe", "type", type);
    } catch {
      return false;
    }
    await this.run("ip", "link", "delete", "probe");
    return true;
  }

  get confDir(): string {
    return join(this.directory, "net.d");
  }

  /** What a daemon's config has to say to use it. */
  get daemonConfig(): string {
    return `[cni]\nconf_dir = "${this.confDir}"\nbin_dirs = ["${this.#plugins}", "${pluginDirectory}"]\n`;
  }

  /** The only network there is; in one step, as a careful network plugin writes its file. */
  async configure(plugins: readonly object[], cniVersion = "1.0.0"): Promise<void> {
    const path = join(this.directory, "next.conflist");
    await writeFile(path, JSON.stringify({ cniVersion, name: "net", plugins }));
    await rename(path, join(this.confDir, "10-net.conflist"));
  }

  get #plugins(): string {
    return join(this.directory, "bin");
  }

  /**
   * A plugin of a few lines of JavaScript, with `call` (its standard input), `command` (CNI_COMMAND), `run(line)` for the
   * shell, which runs in the pod's namespace where there is one. What it returns is printed as JSON; undefined: nothing.
   */
  async plugin(name: string, lines: string): Promise<void> {
    await mkdir(this.#plugins, { recursive: true });
    const text = `#!${process.execPath}
const call = JSON.parse(require("fs").readFileSync(0, "utf8"));
const command = process.env.CNI_COMMAND;
const enter = process.env.CNI_NETNS ? ["nsenter", "--net=" + process.env.CNI_NETNS] : [];
const run = (line) => {
  const [program, ...args] = [...enter, "sh", "-c", line];
  return require("child_process").execFileSync(program, args, { encoding: "utf8" });
};
const result = (() => {
${lines}
})();
if (result !== undefined) console.log(JSON.stringify(result));
`;
    await writeFile(join(this.#plugins, name), text, { mode: 0o755 });
  }

  async unconfigure(): Promise<void> {
    await rm(join(this.confDir, "10-net.conflist"));
  }

  /** host-local's section for these subnets, with default routes. */
  ipam(...subnets: readonly string[]): object {
    return {
      type: "host-local",
      dataDir: join(this.directory, "ipam"),
      ranges: subnets.map((subnet) => [{ subnet }]),
      routes: subnets.map((subnet) => ({ dst: subnet.includes(":") ? "::/0" : "0.0.0.0/0" })),
    };
  }

  /** Addresses that are given away. */
  async reserved(): Promise<string[]> {
    const names = await readdir(join(this.directory, "ipam/net")).catch(() => []);
    return names.filter((name) => /^[0-9a-f]+[.:]/.test(name));
  }

  /** Runs a program on the node to its end; answers its standard output. */
  async run(program: string, ...args: readonly string[]): Promise<string> {
    const all = [`--net=${this.netns}`, program, ...args];
    return (await promisify(execFile)("nsenter", all, { timeout: limit(130_000) })).stdout;
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

  /** One end of a pair takes the other along. */
  async #removeLinks(): Promise<void> {
    for (;;) {
      const link = (await this.links()).find((name) => name !== "lo");
      if (link === undefined) return;
      await this.run("ip", "link", "delete", link);
    }
  }

  async remove(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    if (this.#own) await loadNative(join(projectDirectory, "build/assets")).native.removeNetns(this.netns);
    else await this.#removeLinks();
    await rm(this.directory, { recursive: true, force: true });
  }
}
