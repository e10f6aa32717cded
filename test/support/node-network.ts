/** A node of its own for network tests: a namespace in which plugins make bridges and rules, away from this machine's. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadNative, type Native } from "../../src/native/addon.js";
import { projectFolder } from "./project.js";

const execute = promisify(execFile);

export function nativeOfTests(): Native {
  return loadNative(join(projectFolder, "build/assets")).native;
}

export class NodeNetwork {
  readonly folder: string;
  /** Path of the node's namespace. */
  readonly netns: string;
  readonly confDir: string;
  /** Where host-local keeps its reservations: a file for each address. */
  readonly reservations: string;
  readonly #native: Native;

  private constructor(folder: string, native: Native) {
    this.folder = folder;
    this.netns = join(folder, "netns");
    this.confDir = join(folder, "net.d");
    this.reservations = join(folder, "ipam");
    this.#native = native;
  }

  static async make(): Promise<NodeNetwork> {
    const network = new NodeNetwork(await mkdtemp(join(tmpdir(), "a3s-n")), nativeOfTests());
    await mkdir(network.confDir);
    await network.#native.createNetns(network.netns);
    return network;
  }

  /** Writes a file of the configuration folder. */
  async configure(file: string, content: object): Promise<void> {
    await writeFile(join(this.confDir, file), JSON.stringify(content));
  }

  /** Runs a program in the node's namespace; gives its standard output. */
  async run(program: string, ...args: readonly string[]): Promise<string> {
    const { stdout } = await execute("nsenter", [`--net=${this.netns}`, program, ...args], { timeout: 20_000 });
    return stdout;
  }

  async remove(): Promise<void> {
    await this.#native.removeNetns(this.netns);
    await rm(this.folder, { recursive: true, force: true });
  }
}
