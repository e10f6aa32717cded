import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { download, unpack } from "../apt/packages.js";
import { privateApt } from "../apt/private-apt.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { type ImageFile, imageLayer } from "../image-layer.js";
import { defaultPath, ociArchive } from "../oci-archive.js";
import { run, type SetupContext } from "../run.js";

export const busyboxImageName = "localhost/a3s-box/busybox:1";

const suite = "trixie";
const sources = [
  "scripts/setup/assets/busybox-image.ts",
  "scripts/setup/image-layer.ts",
  "scripts/setup/oci-archive.ts",
];

/** The directory with `busybox`, the static program of Debian's package, and `busybox.tar`, the image made from it. */
export async function busyboxImage(context: SetupContext): Promise<string> {
  return await cached(context, {
    name: "busybox-image",
    inputs: [suite, ...(await sourceInputs(context.root, sources))],
    build: async (directory) => {
      const apt = await privateApt(context, { name: suite, suites: [suite], onTopOfMachine: false });
      const work = await mkdtemp(join(directory, "work-"));
      const deb = await download(context, apt, "busybox-static", work);
      await mkdir(join(work, "unpacked"));
      await unpack(context, deb, join(work, "unpacked"));
      const program = join(directory, "busybox");
      // Until bookworm the program was in /bin, then in /usr/bin.
      const unpacked = join(work, "unpacked");
      await copyFile(join(unpacked, "usr/bin/busybox"), program).catch(() =>
        copyFile(join(unpacked, "bin/busybox"), program),
      );
      await chmod(program, 0o755);
      await rm(work, { recursive: true });
      const applets = (await run(program, ["--list"], { signal: context.signal })).trim().split("\n");
      const layers = [await imageLayer(rootFiles(await readFile(program), applets), "a3s-box set-up", 9)];
      const image = { name: busyboxImageName, layers, config: { Cmd: ["sh"], Env: [defaultPath] } };
      await writeFile(join(directory, "busybox.tar"), (await ociArchive(image)).tar);
    },
  });
}

/** The root file system, directories before what is in them. */
function rootFiles(busybox: Buffer, applets: readonly string[]): ImageFile[] {
  const directories = ["bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "var"];
  const accounts = ["root:x:0:0:root:/root:/bin/sh", "nobody:x:65534:65534:nobody:/:/bin/false"];
  return [
    ...directories.map((path): ImageFile => ({ path, kind: "directory", mode: 0o755 })),
    { path: "tmp", kind: "directory", mode: 0o1777 },
    { path: "bin/busybox", kind: "file", mode: 0o755, content: busybox },
    ...applets
      .filter((applet) => applet !== "busybox")
      .sort()
      .map((applet): ImageFile => ({ path: `bin/${applet}`, kind: "symlink", to: "busybox" })),
    { path: "usr/bin/env", kind: "symlink", to: "../../bin/busybox" },
    { path: "etc/passwd", kind: "file", mode: 0o644, content: Buffer.from(`${accounts.join("\n")}\n`) },
    { path: "etc/group", kind: "file", mode: 0o644, content: Buffer.from("root:x:0:\nnobody:x:65534:\n") },
  ];
}
