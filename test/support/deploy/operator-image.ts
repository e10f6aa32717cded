/** The operator's image as operator/Dockerfile makes it, of this machine's Node and C library: nothing builds images in a test. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { busyboxSource, type NamedImage } from "../images.js";
import { programEntries } from "../program-entries.js";
import { projectDirectory } from "../project.js";
import { buildLayer } from "../tar-builder.js";

const run = promisify(execFile);
const node = "/opt/a3s-box/node/bin/node";
const program = "/opt/a3s-box-operator/main.js";

export async function operatorImage(tag: string): Promise<NamedImage> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-oi"));
  try {
    const bundle = join(directory, "main.js");
    await run(process.execPath, ["operator/build.mjs", bundle], { cwd: projectDirectory });
    const files = [
      [node, process.execPath],
      [program, bundle],
    ] as const;
    const entries = await programEntries(files, process.execPath);
    const config = { Entrypoint: [node, "--max-semi-space-size=1", program], Cmd: [], User: "65532:65532" };
    return { tag, ...(await busyboxSource(config, [buildLayer(entries, "none")])) };
  } finally {
    await rm(directory, { recursive: true });
  }
}
