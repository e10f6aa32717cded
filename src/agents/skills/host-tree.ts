/** A directory of the host that others may write to, read without ever leaving it. */
import { constants } from "node:fs";
import { open, opendir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import type { Native } from "../../native/addon.js";
import type { SkillSource } from "../../runtime/skills/pod-skills.js";

/** `O_PATH`, which Node has no name for: opens nothing, so nothing happens to a device or a pipe. */
const pathOnly = 0o10000000;
/** Of one directory: whoever writes there may make millions. */
const usualMostNames = 16_384;

export interface HostFile {
  readonly data: Buffer;
  readonly executable: boolean;
}

export interface HostTree {
  /** Sorted. Throws with an errno where there is no such directory, `resourceExhausted` where it has too many names. */
  names(path: string): Promise<string[]>;
  kind(path: string): Promise<"file" | "directory" | "other">;
  /** `resourceExhausted` where it has more than `most` bytes. */
  file(path: string, most: number): Promise<HostFile>;
}

/** Links that stay within are followed, as kubelet's `..data` wants it; the kernel says which do. */
export function hostTree(
  { within, path }: SkillSource,
  native: Pick<Native, "openIn" | "closeFd">,
  mostNames = usualMostNames,
): HostTree {
  const root = relative(within, path);
  const at = async <T>(place: string, work: (opened: string) => Promise<T>): Promise<T> => {
    const fd = await native.openIn(within, join(".", root, place), pathOnly, 0, "beneath");
    try {
      return await work(`/proc/self/fd/${String(fd)}`);
    } finally {
      await native.closeFd(fd);
    }
  };
  return {
    names: async (place) => (await at(place, (opened) => namesOf(opened, mostNames))).sort(),
    kind: async (place) => {
      const facts = await at(place, (opened) => stat(opened));
      if (facts.isFile()) return "file";
      return facts.isDirectory() ? "directory" : "other";
    },
    file: (place, most) => at(place, (opened) => readBounded(opened, most)),
  };
}

async function namesOf(opened: string, most: number): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of await opendir(opened, { bufferSize: 256 })) {
    if (names.push(name) > most) {
      throw new RuntimeError("resourceExhausted", `a directory has more than ${String(most)} names`);
    }
  }
  return names;
}

async function readBounded(opened: string, most: number): Promise<HostFile> {
  const facts = await stat(opened);
  if (!facts.isFile()) throw new RuntimeError("invalidArgument", "it is no file");
  await using file = await open(opened, constants.O_RDONLY | constants.O_NONBLOCK);
  const data = Buffer.alloc(Math.min(facts.size, most) + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(data, length, data.length - length, length);
    length += bytesRead;
    if (bytesRead === 0 || length === data.length) break;
  }
  if (length > most) throw new RuntimeError("resourceExhausted", `has more than ${String(most)} bytes`);
  return { data: data.subarray(0, length), executable: (facts.mode & 0o111) !== 0 };
}
