/** The unpacker as a program of its own, with a directory and a blob of a test's. */
import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { usersRoot } from "../../src/image/unpack/users.js";
import { loadNative } from "../../src/native/addon.js";
import { projectDirectory } from "./project.js";

const assetsDir = join(projectDirectory, "build", "assets");
export const sanitizedUnpacker = join(assetsDir, "unpackers", "sanitized");
export const unpackerProgram = process.env["A3S_UNPACKER"] ?? join(assetsDir, "bin", "a3s-box-unpacker");

export interface Unpacked {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What `result` says: opaque directories, or code and message. */
  readonly fields: readonly string[];
  readonly log: string;
}

export interface Packed extends Unpacked {
  readonly file: string;
}

export interface BedOptions {
  /** Another build of it. */
  readonly program?: string;
  /** Descriptor of the user namespace to unpack in. */
  readonly users?: number;
  /** Where the layers go; the directory of temporary files when it is left out. */
  readonly within?: string;
}

/** A directory for many layers, one after the other. */
export class UnpackBed implements AsyncDisposable {
  readonly top: string;
  readonly #options: BedOptions;
  #count = 0;

  private constructor(top: string, options: BedOptions) {
    this.top = top;
    this.#options = options;
  }

  static async make(options: BedOptions = {}): Promise<UnpackBed> {
    return new UnpackBed(await mkdtemp(join(options.within ?? tmpdir(), "a3s-test-unpack-")), options);
  }

  /** The tree is in `fs` of `directory` then. */
  async unpack(
    bytes: Uint8Array,
    compression: "none" | "gzip" | "zstd",
    diffId: string,
  ): Promise<Unpacked & { readonly directory: string }> {
    const name = String((this.#count += 1));
    const blob = join(this.top, `${name}.blob`);
    await writeFile(blob, bytes);
    const directory = await this.freshDirectory();
    const unpacked = await this.run(directory, blob, compression, bytes.byteLength, diffId);
    await rm(blob);
    return { ...unpacked, directory };
  }

  async freshDirectory(): Promise<string> {
    const directory = join(this.top, `layer-${(this.#count += 1)}`);
    await mkdir(directory);
    return directory;
  }

  async run(
    directory: string,
    blob: string,
    compression: string,
    sizeBytes: number,
    diffId: string,
  ): Promise<Unpacked> {
    await using input = await open(blob, "r");
    const { program = unpackerProgram, users } = this.#options;
    const args = ["unpack", directory, compression, String(sizeBytes), diffId];
    if (users !== undefined) args.push(String(usersRoot));
    const more = users === undefined ? [] : (["ignore", users] as const);
    const child = spawn(program, args, { stdio: [input.fd, "ignore", "pipe", ...more] });
    let log = "";
    child.stderr?.on("data", (chunk: Buffer) => (log += chunk.toString()));
    const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    const result = await readFile(join(directory, "result"), "utf8").catch(() => "");
    return { code, signal, fields: result.split("\0").slice(0, -1), log };
  }

  /** An unpacked layer as an EROFS image: `layer.erofs` of `directory` then. */
  async pack(tree: string, program = this.#options.program ?? unpackerProgram): Promise<Packed> {
    const directory = await this.freshDirectory();
    const child = spawn(program, ["pack", directory, tree, "0123456789abcdef".repeat(2)], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    child.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
    const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    const result = await readFile(join(directory, "result"), "utf8").catch(() => "");
    return { code, signal, fields: result.split("\0").slice(0, -1), log, file: join(directory, "layer.erofs") };
  }

  async remove(directory: string): Promise<void> {
    await loadNative(assetsDir).native.removeTree(directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove(this.top);
  }
}

export function diffIdOf(tar: Uint8Array): string {
  return `sha256:${createHash("sha256").update(tar).digest("hex")}`;
}
