/**
 * The image as image/Dockerfile makes it of a release (target full): the same files and the same configuration, without the
 * Docker that would make it.
 */
import { cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { NamedImage } from "../images.js";
import { projectDirectory } from "../project.js";
import { sha256 } from "../tar-builder.js";
import { limit } from "../wait.js";
import { succeeded } from "./in-root.js";

const limitMs = limit(300_000);
const base = join(projectDirectory, "build/assets/debian-roots/trixie.tar");
const config = {
  Env: ["PATH=/opt/a3s-box/bin:/usr/bin"],
  Entrypoint: ["/opt/a3s-box/bin/a3s-box"],
  Volumes: { "/var/lib/a3s-box": {} },
  Cmd: [],
};

/** `archive`: the release's, a tar.gz. */
export async function releaseImage(archive: string, tag: string): Promise<NamedImage> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-ri"));
  try {
    const [from, to] = [join(directory, "base"), join(directory, "root")];
    const tree = join(to, "opt/a3s-box");
    for (const made of [from, tree, join(to, "workspace"), join(to, "run"), join(to, "tmp")]) {
      await mkdir(made, { recursive: true });
    }
    await succeeded("tar", ["--extract", `--directory=${from}`, `--file=${base}`], { limitMs });
    await succeeded("tar", ["--extract", "--strip-components=1", `--directory=${tree}`, `--file=${archive}`], {
      limitMs,
    });
    for (const [source, target] of await copied()) {
      await mkdir(dirname(join(to, target)), { recursive: true });
      await cp(join(from, source), join(to, target), { dereference: true });
    }
    const layer = join(directory, "layer.tar");
    await succeeded("tar", ["--create", "--owner=0", "--group=0", `--directory=${to}`, `--file=${layer}`, "."], {
      limitMs,
    });
    const bytes = await readFile(layer);
    const digest = sha256(bytes);
    const mediaType = "application/vnd.oci.image.layer.v1.tar";
    return { tag, config, layers: [{ bytes, digest, diffId: digest, mediaType }] };
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** What the Dockerfile takes of its base: each file, and where it puts it. */
async function copied(): Promise<readonly (readonly [string, string])[]> {
  const text = (await readFile(join(projectDirectory, "image/Dockerfile"), "utf8")).replaceAll("\\\n", " ");
  return [...text.matchAll(/^COPY --from=base (.*)$/gm)].flatMap(([, words = ""]) => {
    const all = words.split(/\s+/);
    const target = all.at(-1) ?? "";
    return all
      .slice(0, -1)
      .map((path) => [path, target.endsWith("/") ? join(target, basename(path)) : target] as const);
  });
}
