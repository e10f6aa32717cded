/** This build of the product as a pod of the host has it, in place of an image's: by hostPaths, with the machine's own /usr. */
import { realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Kubelet } from "../kubelet.js";
import { busyboxSource, type NamedImage } from "../images.js";
import { nodeName } from "../kubelet.js";
import { projectDirectory } from "../project.js";
import { spdyCommand } from "../streaming/spdy-client.js";
import { buildLayer } from "../tar-builder.js";

export const buildImage = "localhost/test/build:1";
/** What is `/opt/a3s-box/bin/a3s-box` in an image. */
export const buildProgram: readonly string[] = [process.execPath, join(projectDirectory, "dist/main.js")];

export interface BuildInPod {
  readonly volumes: readonly object[];
  readonly mounts: readonly object[];
}

/** A shell of its own: the rest is the machine's. */
export async function imageOfBuild(): Promise<NamedImage> {
  const links = buildLayer([
    { name: "lib", type: "symlink", link: "usr/lib" },
    { name: "lib64", type: "symlink", link: "usr/lib64" },
  ]);
  return {
    tag: buildImage,
    ...(await busyboxSource({ Env: ["PATH=/bin:/usr/local/bin:/usr/bin:/usr/sbin"] }, [links])),
  };
}

export async function buildInPod(): Promise<BuildInPod> {
  const cache = dirname(dirname(await realpath(join(projectDirectory, "build/assets/guest"))));
  const paths = ["/usr", projectDirectory, ...(cache.startsWith(projectDirectory) ? [] : [cache])];
  return {
    volumes: paths.map((path, at) => ({ name: `build-${String(at)}`, hostPath: { path, type: "Directory" } })),
    mounts: paths.map((path, at) => ({ name: `build-${String(at)}`, mountPath: path, readOnly: true })),
  };
}

/** Runs a program in a container of a static pod; answers what it wrote. */
export async function runInside(
  kubelet: Kubelet,
  { pod, container, namespace = "default" }: { pod: string; container: string; namespace?: string },
  command: readonly string[],
): Promise<string> {
  const words = command.map((word) => `command=${encodeURIComponent(word)}`).join("&");
  const url = kubelet.url(`/exec/${namespace}/${pod}-${nodeName}/${container}?output=1&error=1&${words}`);
  const { stdout, stderr, error } = await spdyCommand(url, { stdout: true, stderr: true });
  const [out, err, status] = [await stdout.ending(), await stderr.ending(), await error.ending()];
  if (!status.includes('"Success"')) throw new Error(`${command.slice(0, 4).join(" ")}: ${status}: ${out}${err}`);
  return out;
}
