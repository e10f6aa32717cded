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
    for (const { sizeKib, pssKib, path } of mappings(await readFile(`/proc/${pid}/smaps`, "utf8"))) {
      // QEMU reserves address space for its code cache too: that one has no file and is private.
      const isGuest = path.startsWith("/memfd:") || (sizeKib >= guestMappingKib && pssKib > 0 && path === "");
      if (isGuest) guestKib += pssKib;
      else overheadKib += pssKib;
    }
  }
  return { guestKib, overheadKib };
}

interface Mapping {
  readonly sizeKib: number;
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
      return { sizeKib: member("Size"), pssKib: member("Pss"), path: head.split(/\s+/).slice(5).join(" ") };
    });
}
