/** Which ids of users this process may hand out: all of the host's, or those that its container's user namespace has. */
import { readFileSync } from "node:fs";

export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** System users and a container's own are below. */
const firstOfOthers = 20_000;
/** "Nobody" and what is beside it is above, where the namespace has just 65,536. */
const countOfOthers = 40_000;

/** Lines of "inside outside count": user_namespaces(7), uid_map. A line that can't be read is none. */
export function mappedRanges(text: string): IdRange[] {
  return text.split("\n").flatMap((line) => {
    const [first, , count] = line.trim().split(/\s+/).map(Number);
    const isRange = Number.isSafeInteger(first) && Number.isSafeInteger(count);
    return isRange && first !== undefined && count !== undefined && count > 0 ? [{ first, count }] : [];
  });
}

/** The wanted one where all of it is mapped, else one that is; undefined where none of use is. */
export function rangeWithin(wanted: IdRange, mapped: readonly IdRange[]): IdRange | undefined {
  const other = { first: firstOfOthers, count: countOfOthers };
  return [wanted, other].find((one) => mapped.some((range) => isWithin(one, range)));
}

function isWithin(inner: IdRange, outer: IdRange): boolean {
  return inner.first >= outer.first && inner.first + inner.count <= outer.first + outer.count;
}

/** Of this process; it never changes. Empty where the kernel does not say. */
export function ownMappedRanges(): IdRange[] {
  try {
    return mappedRanges(readFileSync("/proc/self/uid_map", "utf8"));
  } catch {
    return [];
  }
}
