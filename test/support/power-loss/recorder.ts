/**
 * Follows what this process does to a directory through `node:fs/promises`, step by step: after each one the disk is as it is
 * then, and a power cut may come. What native code does in there is not followed.
 */
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import type { PathLike } from "node:fs";
import type { Disk, FileNode } from "./disk.js";

const followed = ["open", "mkdir", "rename", "rm", "writeFile"] as const;

/** Until it is disposed of; one at a time in a process. */
export function record(disk: Disk, stepped: () => void): Disposable {
  const real = Object.fromEntries(followed.map((name) => [name, fs[name]])) as unknown as typeof fs;
  const ours = (path: unknown): path is string => typeof path === "string" && disk.has(path);
  const step = (change: () => unknown): void => {
    if (change() !== false) stepped();
  };

  const open = async (path: PathLike, flags?: string, mode?: number): Promise<fs.FileHandle> => {
    const handle = await real.open(path, flags, mode);
    if (!ours(path)) return handle;
    if (flags === undefined || flags === "r") {
      if ((await handle.stat()).isDirectory()) follow(handle, undefined, path);
      return handle;
    }
    if (flags !== "w" && flags !== "wx") throw new Error(`the recorder knows no flags ${flags}`);
    let file: FileNode | undefined;
    step(() => (file = disk.makeFile(path)));
    follow(handle, file, path);
    return handle;
  };
  const follow = (handle: fs.FileHandle, file: FileNode | undefined, path: string): void => {
    const [sync, writeFile] = [handle.sync.bind(handle), handle.writeFile.bind(handle)];
    handle.sync = async () => {
      await sync();
      step(() => {
        if (file === undefined) {
          disk.syncDirectory(path);
        } else {
          disk.sync(file);
        }
      });
    };
    handle.writeFile = async (data, options) => {
      await writeFile(data, options);
      if (file !== undefined) {
        const made = file;
        step(() => {
          disk.write(made, bytesOf(data));
        });
      }
    };
  };

  Object.assign(fs, {
    open,
    mkdir: async (path: PathLike, options?: { recursive: true }) => {
      const made = await real.mkdir(path, options);
      if (ours(path)) {
        step(() => {
          disk.makeDirectory(path);
        });
      }
      return made;
    },
    rename: async (from: PathLike, to: PathLike) => {
      await real.rename(from, to);
      if (ours(from) && ours(to)) step(() => disk.rename(from, to));
    },
    rm: async (path: PathLike, options?: never) => {
      await real.rm(path, options);
      if (ours(path)) step(() => disk.remove(path));
    },
    writeFile: async (path: PathLike, data: string | Uint8Array, options?: never) => {
      await real.writeFile(path, data, options);
      if (!ours(path)) return;
      step(() => {
        const file = disk.makeFile(path);
        if (file !== undefined) disk.write(file, bytesOf(data));
      });
    },
  });
  syncBuiltinESMExports();
  return {
    [Symbol.dispose]: () => {
      Object.assign(fs, real);
      syncBuiltinESMExports();
    },
  };
}

function bytesOf(data: unknown): Uint8Array {
  if (typeof data === "string") return Buffer.from(data);
  if (data instanceof Uint8Array) return data;
  throw new Error("the recorder knows strings and bytes only");
}
