/** What is in a package of Debian: deb(5). Nothing of it is run, and nobody has to be root. */
import { spawn } from "node:child_process";
import { buffer } from "node:stream/consumers";
import { extract, type Header } from "tar-stream";
import { RuntimeError } from "../../src/base/errors.js";
import type { ImageFile } from "../setup/image-layer.js";
import { run } from "../setup/run.js";

export interface Package {
  readonly name: string;
  readonly version: string;
  /** Its stanza: deb-control(5). */
  readonly control: string;
  readonly files: readonly ImageFile[];
}

export async function readPackage(path: string, signal: AbortSignal): Promise<Package> {
  const control = (await run("dpkg-deb", ["--field", path], { signal })).trimEnd();
  return {
    name: field(control, "Package"),
    version: field(control, "Version"),
    control,
    files: await filesOf(path, signal),
  };
}

function field(control: string, name: string): string {
  const value = new RegExp(`^${name}: (\\S+)$`, "m").exec(control)?.[1];
  if (value === undefined) throw new RuntimeError("invalidArgument", `a package without the field ${name}`);
  return value;
}

/** With owners, modes and times as the package has them. */
async function filesOf(path: string, signal: AbortSignal): Promise<ImageFile[]> {
  const child = spawn("dpkg-deb", ["--fsys-tarfile", path], { stdio: ["ignore", "pipe", "inherit"], signal });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const files: ImageFile[] = [];
  for await (const entry of child.stdout.pipe(extract())) {
    const file = fileOf(entry.header, await buffer(entry));
    if (file !== undefined) files.push(file);
  }
  const code = await ended;
  if (code !== 0) throw new RuntimeError("internal", `dpkg-deb --fsys-tarfile ${path} ended with ${String(code)}`);
  return files;
}

/** Undefined for the root, which is nobody's. */
function fileOf(header: Header, content: Buffer): ImageFile | undefined {
  const path = merged(header.name);
  if (path === "") return undefined;
  const { uid, gid, mode, linkname: to, type } = header;
  const common = { path, uid, gid, mtime: Math.floor(header.mtime.getTime() / 1000) };
  switch (type) {
    case "directory":
      return { ...common, kind: "directory", mode };
    case "file":
      return { ...common, kind: "file", mode, content };
    case "symlink":
      return { ...common, kind: "symlink", to };
    case "link":
      return { ...common, kind: "hardlink", to: merged(to), mode };
    default:
      throw new RuntimeError("unimplemented", `${path} of a package is a ${type}`);
  }
}

/** Of a name in a package's tar. Debian 13 has all of these below /usr, and links in their place at the root. */
function merged(name: string): string {
  const path = name.replace(/^\.?\/+/, "").replace(/\/+$/, "");
  return /^(bin|sbin|lib|lib64)\//.test(path) ? `usr/${path}` : path;
}
