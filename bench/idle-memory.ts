/** What a Box costs beyond what its guest uses: proportional set sizes of its processes, guest memory set apart. */
import { readFile } from "node:fs/promises";

export interface BoxMemory {
  /** KiB of guest memory that has been touched. */
  readonly guestKib: number;
  /** KiB of everything else in the VMM and its file server; pages shared with other Boxes count in part. */
  readonly overheadKib: number;
}

/** Mappings at least this large are the guest's memory: nothing else in a VMM of ours is. */
const guestMappingKib = 128 * 1024;

export async function boxMemory(pids: readonly number[]): Promise<BoxMemory> {
  let guestKib = 0;
  let overheadKib = 0;
  for (const pid of pids) {
    for (const mapping of mappings(await readFile(`/proc/${pid}/smaps`, "utf8"))) {
      if (isGuestMemory(mapping)) guestKib += mapping.pssKib;
      else overheadKib += mapping.pssKib;
    }
  }
  return { guestKib, overheadKib };
}

/**
 * Of one process, guest memory set apart: all that is resident, shared or not, and its page tables. A cgroup may be
 * charged for that.
 */
export async function ownRssKib(pid: number): Promise<number> {
  const tables = Number(/^VmPTE:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0");
  return mappings(await readFile(`/proc/${pid}/smaps`, "utf8"))
    .filter((mapping) => !isGuestMemory(mapping))
    .reduce((sum, { rssKib }) => sum + rssKib, tables);
}

/** QEMU's is a memfd; libkrun's is anonymous. QEMU's cache of translated code is large only as a whole: a mapping for each part. */
function isGuestMemory({ path, sizeKib, pssKib }: Mapping): boolean {
  return path.startsWith("/memfd:") || (sizeKib >= guestMappingKib && pssKib > 0 && path === "");
}

interface Mapping {
  readonly sizeKib: number;
  readonly rssKib: number;
  readonly pssKib: number;
  readonly path: string;
}

/** proc(5), smaps. */
function mappings(text: string): Mapping[] {
  return text
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((part) => part !== "")
    .map((part) => {
      const [head = ""] = part.split("\n");
      const member = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(part)?.[1] ?? "0");
      return {
        sizeKib: member("Size"),
        rssKib: member("Rss"),
        pssKib: member("Pss"),
        path: head.split(/\s+/).slice(5).join(" "),
      };
    });
}
