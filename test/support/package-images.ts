/**
 * Images of several layers made of the distribution's packages, each with what image builders do on top of them:
 * removed files and directories, replaced directories, new links, changed owners and capabilities.
 */
import { execFile } from "node:child_process";
import {
  access,
  chmod,
  chown,
  link,
  lutimes,
  mkdir,
  mkdtemp,
  open,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { busyboxProgram } from "./busybox.js";
import { projectDirectory } from "./project.js";
import type { ImageSource } from "./registry.js";
import { buildLayer, sha256, type BuiltLayer } from "./tar-builder.js";

export interface PackageImage {
  readonly name: string;
  readonly build: () => Promise<ImageSource>;
}

const maxTarBytes = 256 * 1024 * 1024;
const execute = promisify(execFile);

export const packageImages: readonly PackageImage[] = [
  {
    name: "busybox",
    build: async () => ({
      layers: [await changed(busyboxRoot), await changed(appletLinks), buildLayer([{ name: "bin/.wh.vi" }])],
    }),
  },
  {
    name: "coreutils",
    build: async () => ({
      layers: [
        ...(await packages("base-files", "libc6", "coreutils")),
        buildLayer([
          { name: "usr/", type: "directory" },
          { name: "usr/share/doc/", type: "directory", mode: 0o755 },
          { name: "usr/share/doc/.wh..wh..opq" },
          { name: "usr/share/doc/only-this", content: "new\n" },
          { name: "usr/bin/.wh.factor" },
          { name: "usr/bin/.wh.pinky" },
        ]),
      ],
    }),
  },
  {
    name: "python",
    build: async () => ({
      layers: [
        ...(await packages("base-files", "libpython3.13-minimal", "python3.13-minimal")),
        buildLayer([
          { name: "usr/lib/python3.13/.wh.encodings" },
          { name: "usr/bin/python3", type: "symlink", link: "python3.13" },
        ]),
        buildLayer([
          { name: "usr/lib/python3.13/", type: "directory" },
          { name: "usr/lib/python3.13/encodings/", type: "directory" },
          { name: "usr/lib/python3.13/encodings/again.py", content: "# back\n" },
        ]),
      ],
      docker: true,
    }),
  },
  {
    name: "perl",
    build: async () => ({ layers: [...(await packages("perl-base")), await changed(hardLinks), await changed(holes)] }),
  },
  { name: "git", build: async () => ({ layers: await packages("base-files", "git") }) },
  {
    name: "curl",
    build: async () => ({
      layers: [...(await packages("base-files", "curl")), await changed(finerTimes)],
      docker: true,
    }),
  },
  {
    name: "nginx",
    build: async () => ({
      layers: [
        ...(await packages("nginx-common", "nginx")),
        buildLayer([
          { name: "var/log/nginx/", type: "directory", uid: 33, gid: 4, mode: 0o2750 },
          { name: "var/log/nginx/access.log", type: "symlink", link: "/dev/stdout" },
          { name: "etc/nginx/.wh.sites-available" },
          { name: "etc/nginx/sites-available", content: "a file where a directory was\n" },
          { name: "etc/nginx/nginx.conf/", type: "directory", mode: 0o700 },
          { name: "etc/nginx/nginx.conf/where-a-file-was", content: "x" },
        ]),
      ],
    }),
  },
  {
    name: "openssh",
    build: async () => ({
      layers: [
        ...(await packages("base-files", "openssh-client")),
        buildLayer([{ name: "usr/bin/ssh-agent", content: "#!/bin/sh\n", mode: 0o2755, gid: 101 }], "none"),
      ],
    }),
  },
  {
    name: "set-uid",
    build: async () => ({
      layers: [
        ...(await packages("passwd", "sudo")),
        await changed(capabilities),
        buildLayer([
          { name: "./", type: "directory" },
          { name: "dev/", type: "directory" },
          { name: "run/", type: "directory" },
          { name: "dev/null", type: "character", major: 1, minor: 3, mode: 0o666 },
          { name: "dev/disk", type: "block", major: 259, minor: 70_000, mode: 0o660, gid: 6 },
          { name: "run/pipe", type: "fifo", mode: 0o620, uid: 70_000, gid: 2_000_000_000 },
        ]),
      ],
    }),
  },
  {
    name: "links",
    build: async () => ({
      layers: [
        ...(await packages("tzdata", "ncurses-base", "ncurses-term", "iputils-ping", "tar")),
        await changed(capabilities),
        buildLayer([
          { name: "usr/", type: "directory" },
          { name: "usr/share/", type: "directory" },
          { name: "usr/share/zoneinfo/", type: "directory" },
          { name: "usr/share/zoneinfo/.wh..wh..opq" },
          { name: "usr/share/zoneinfo/UTC", content: "TZif" },
        ]),
      ],
    }),
  },
];

/** Each package's own tar as a layer, gzip. */
export async function packages(...names: readonly string[]): Promise<BuiltLayer[]> {
  return await Promise.all(names.map(async (name) => layerOf(await dataTar(name))));
}

async function dataTar(name: string): Promise<Buffer> {
  const path = join(projectDirectory, "build/assets/packages", `${name}.deb`);
  await access(path).catch((cause: unknown) => {
    throw new Error(`no ${path} (run the set-up)`, { cause });
  });
  const { stdout } = await execute("dpkg-deb", ["--fsys-tarfile", path], {
    encoding: "buffer",
    maxBuffer: maxTarBytes,
  });
  return stdout;
}

/** A layer that GNU tar packs in the POSIX format, with attributes and times to the nanosecond, of a directory made by `fill`. */
async function changed(fill: (directory: string) => Promise<void>): Promise<BuiltLayer> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-test-layer-"));
  try {
    await chmod(directory, 0o755);
    await fill(directory);
    const options = ["--format=posix", "--sparse", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sort=name"];
    const { stdout } = await execute("tar", [...options, "-C", directory, "-cf", "-", "."], {
      encoding: "buffer",
      maxBuffer: maxTarBytes,
    });
    return layerOf(stdout);
  } finally {
    await rm(directory, { recursive: true });
  }
}

function layerOf(tar: Buffer): BuiltLayer {
  const bytes = gzipSync(tar, { level: 1 });
  return {
    bytes,
    diffId: sha256(tar),
    digest: sha256(bytes),
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  };
}

async function busyboxRoot(directory: string): Promise<void> {
  await mkdir(join(directory, "bin"));
  await mkdir(join(directory, "tmp"));
  await chmod(join(directory, "tmp"), 0o1777);
  await writeFile(join(directory, "bin/busybox"), await readFile(await busyboxProgram()), { mode: 0o755 });
}

/** The program once more, with 300 names. */
async function appletLinks(directory: string): Promise<void> {
  await busyboxRoot(directory);
  const names = Array.from({ length: 300 }, (_, at) => `applet-${at}`);
  for (const name of [...names, "vi", "sh"]) await link(join(directory, "bin/busybox"), join(directory, "bin", name));
}

/** New names of one file, in directories that are there and in directories that are not. */
async function hardLinks(directory: string): Promise<void> {
  await mkdir(join(directory, "usr/bin"), { recursive: true });
  await mkdir(join(directory, "opt/links"), { recursive: true });
  await writeFile(join(directory, "usr/bin/one"), "one file\n", { mode: 0o4711 });
  await link(join(directory, "usr/bin/one"), join(directory, "usr/bin/two"));
  await link(join(directory, "usr/bin/one"), join(directory, "opt/links/three"));
  await symlink("../../usr/bin/two", join(directory, "opt/links/soft"));
  await link(join(directory, "opt/links/soft"), join(directory, "opt/links/soft-too"));
}

/** Holes before, between and after what is written. */
async function holes(directory: string): Promise<void> {
  await mkdir(join(directory, "srv"));
  const file = await open(join(directory, "srv/sparse"), "w", 0o640);
  try {
    for (const at of [1 << 20, 3 << 20]) await file.write(Buffer.from("between holes"), 0, 13, at);
    await file.truncate(6 << 20);
  } finally {
    await file.close();
  }
}

/** Times before the epoch, after 2038, and between two microseconds. */
async function finerTimes(directory: string): Promise<void> {
  await mkdir(join(directory, "srv"));
  const long = "n".repeat(200);
  for (const [name, seconds] of [
    ["old", -12_345.75],
    ["fine", 1_700_000_000.123_456],
    ["late", 4_200_000_000.5],
    [long, 1],
  ] as const) {
    await writeFile(join(directory, "srv", name), name);
    await utimes(join(directory, "srv", name), seconds, seconds);
  }
  await symlink(`${long}/${long}`, join(directory, "srv/link"));
  await lutimes(join(directory, "srv/link"), 1_600_000_000.25, 1_600_000_000.25);
  await utimes(join(directory, "srv"), 1_500_000_000.5, 1_500_000_000.5);
}

/** What `setcap cap_net_raw+ep` writes (linux/capability.h, VFS_CAP_REVISION_2), and attributes of a user. */
async function capabilities(directory: string): Promise<void> {
  const program = join(directory, "usr/bin/ping");
  await mkdir(join(directory, "usr/bin"), { recursive: true });
  await writeFile(program, "#!/bin/sh\n", { mode: 0o755 });
  await chown(program, 0, 0);
  await execute("setfattr", ["-n", "security.capability", "-v", "0x0100000200200000000000000000000000000000", program]);
  await execute("setfattr", ["-n", "user.note", "-v", "0x00ff0a3d", program]);
  await execute("setfattr", ["-n", "trusted.note", "-v", "0x01", join(directory, "usr")]);
}
