/** The operator's image as operator/Dockerfile makes it, of this machine's Node and C library: nothing builds images in a test. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { busyboxSource, type NamedImage } from "../images.js";
import { projectDirectory } from "../project.js";
import { buildLayer, type TarEntry } from "../tar-builder.js";

const run = promisify(execFile);
const node = "/opt/a3s-box/node/bin/node";
const program = "/opt/a3s-box-operator/main.js";

export async function operatorImage(tag: string): Promise<NamedImage> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-oi"));
  try {
    const bundle = join(directory, "main.js");
    await run(process.execPath, ["operator/build.mjs", bundle], { cwd: projectDirectory });
    const files = new Map([
      [node, process.execPath],
      [program, bundle],
      ...(await librariesOf(process.execPath)).map((path) => [path, path] as const),
    ]);
    const entries = await Promise.all([...files].map(([path, source]) => entryOf(path, source)));
    const config = { Entrypoint: [node, "--max-semi-space-size=1", program], Cmd: [], User: "65532:65532" };
    return { tag, ...(await busyboxSource(config, [buildLayer(entries, "none")])) };
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** What the dynamic linker would load, itself too. */
async function librariesOf(path: string): Promise<readonly string[]> {
  const { stdout } = await run("ldd", [path]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, library = ""]) => library);
}

async function entryOf(path: string, source: string): Promise<TarEntry> {
  return { name: path.slice(1), mode: 0o755, content: await readFile(source) };
}
