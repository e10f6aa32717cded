/** The differences that are meant to be: rows of test/beside/README.md. In each cell `*` stands for any text. */
import { rowsOf, testsNamed } from "../test-table.js";
import type { SideName } from "./bed.js";
import type { Difference } from "./seen.js";

export interface Known {
  /** Any of them. */
  readonly cases: readonly string[];
  readonly fields: readonly string[];
  readonly theirs: string;
  readonly ours: string;
  readonly sides: readonly string[];
  /** There on some machines only: it is not missed on others. */
  readonly byMachine: boolean;
  readonly why: string;
}

export interface Found extends Difference {
  readonly case: string;
  readonly side: SideName;
}

export async function knownDifferences(): Promise<Known[]> {
  const rows = await rowsOf("test/beside/README.md", /^`/);
  return rows
    .filter(({ length }) => length === 6)
    .map(([cases = "", fields = "", theirs = "", ours = "", where = "", why = ""]) => ({
      cases: testsNamed(cases),
      fields: testsNamed(fields),
      theirs: testsNamed(theirs)[0] ?? "",
      ours: testsNamed(ours)[0] ?? "",
      sides: ["box", "native"].filter((side) => where.includes(side)),
      byMachine: where.includes("by machine"),
      why,
    }));
}

export function isKnown(found: Found, { cases, fields, theirs, ours, sides }: Known): boolean {
  const isThere = (value: string, patterns: readonly string[]): boolean => patterns.some((one) => fits(value, one));
  return (
    sides.includes(found.side) &&
    isThere(found.case, cases) &&
    isThere(found.field, fields) &&
    isThere(found.theirs, [theirs]) &&
    isThere(found.ours, [ours])
  );
}

/** "cases, fields" of the row. */
export function rowName({ cases, fields }: Known): string {
  return `${cases.join(", ")}: ${fields.join(", ")}`;
}

function fits(value: string, pattern: string): boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s").test(value);
}

export function shown({ case: name, side, field, theirs, ours }: Found): string {
  return `${name}, ${side}: ${field}\n  containerd: ${theirs}\n  here:       ${ours}`;
}
