/** A program that serves and asks over TCP and UDP (`peer.c` says what it can): in images, and in namespaces of the host. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectDirectory } from "../project.js";
import { buildLayer, type BuiltLayer } from "../tar-builder.js";

/** Builds it as `DIRECTORY/peer`; answers the path. */
export async function buildPeer(directory: string): Promise<string> {
  const program = join(directory, "peer");
  const sources = ["peer", "many", "sctp", "group", "measure"].map((name) =>
    join(projectDirectory, "test/support/peer", `${name}.c`),
  );
  await promisify(execFile)("cc", [
    "-static",
    "-D_GNU_SOURCE",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-o",
    program,
    ...sources,
  ]);
  return program;
}

/** An image's layer with it as `/bin/peer`. */
export async function peerLayer(program: string): Promise<BuiltLayer> {
  return buildLayer([{ name: "bin/peer", mode: 0o755, content: await readFile(program) }]);
}
