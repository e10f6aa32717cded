import { execFile } from "node:child_process";
import { readlink, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { RuntimeError, messageOf } from "../../base/errors.js";

/** What the loader needs to start a program. */
export interface Libraries {
  /** The program itself, no link. */
  readonly file: string;
  /** Folders (no links) that hold its libraries and the loader, and the loader's cache. */
  readonly folders: readonly string[];
  /** Links at the top of the file system by which they are named ("/lib64" to "usr/lib64"). */
  readonly links: readonly { readonly path: string; readonly text: string }[];
}

const cache = "/etc/ld.so.cache";
const limitMs = 10_000;

/** Asks ldd(1), which asks the loader. A static program has none. */
export async function librariesOf(program: string, signal: AbortSignal): Promise<Libraries> {
  const file = await realpath(program);
  const paths = parseLdd(await ldd(file, signal));
  const folders = new Set<string>();
  const links = new Map<string, string>();
  for (const path of paths) {
    // The loader opens the name, and the name may be a link to another folder.
    folders.add(await realpath(dirname(path)));
    folders.add(dirname(await realpath(path)));
    const top = `/${path.split("/")[1] ?? ""}`;
    const text = await readlink(top).catch(() => undefined);
    if (text !== undefined) links.set(top, text);
  }
  const found = [...folders, ...(paths.length > 0 ? [await realpath(cache).catch(() => undefined)] : [])];
  return {
    file,
    folders: found.filter((path) => path !== undefined),
    links: [...links].map(([path, text]) => ({ path, text })),
  };
}

/** "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)" and "/lib64/ld-linux-x86-64.so.2 (0x…)". */
export function parseLdd(text: string): string[] {
  return [...text.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].flatMap((match) =>
    match[1] === undefined ? [] : [match[1]],
  );
}

async function ldd(file: string, signal: AbortSignal): Promise<string> {
  return await new Promise((resolve, reject) => {
    const options = { timeout: limitMs, signal, env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" } };
    execFile("ldd", [file], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (/not a dynamic executable/.test(stdout + stderr)) resolve("");
      else reject(new RuntimeError("failedPrecondition", `ldd ${file}: ${stderr.trim() || messageOf(error)}`));
    });
  });
}
