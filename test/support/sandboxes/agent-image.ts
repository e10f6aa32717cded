/** An image as agents' clients expect one: bash, Python, and a server for code at port 49999, all of the distribution's. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { busyboxSource, type NamedImage } from "../images.js";
import { packages } from "../package-images.js";
import { projectDirectory } from "../project.js";
import { buildLayer } from "../tar-builder.js";

export const agentImageName = "localhost/test/agent:1";
/** What starts the server for code. */
export const kernelCommand = ["/usr/bin/python3", "/opt/kernel.py"] as const;

export async function agentImage(): Promise<NamedImage> {
  const kernel = await readFile(join(projectDirectory, "test/support/sandboxes/kernel.py"));
  const ours = buildLayer([
    { name: "home/user/", type: "directory", uid: 1000, gid: 1000 },
    { name: "lib", type: "symlink", link: "usr/lib" },
    { name: "lib64", type: "symlink", link: "usr/lib64" },
    { name: "bin/bash", type: "symlink", link: "/usr/bin/bash" },
    { name: "usr/bin/python3", type: "symlink", link: "python3.13" },
    { name: "opt/", type: "directory" },
    { name: "opt/kernel.py", content: kernel },
  ]);
  const debs = await packages(
    ...["libc6", "libtinfo6", "bash", "zlib1g", "libexpat1", "libpython3.13-minimal", "python3.13-minimal"],
  );
  return { tag: agentImageName, ...(await busyboxSource({ User: "user", WorkingDir: "/home/user" }, [...debs, ours])) };
}
