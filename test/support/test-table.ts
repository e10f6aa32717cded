/** Tables in documents that name tests: "file: part of a title", in backquotes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { projectDirectory } from "./project.js";

/** The cells of each row whose first cell fits. */
export async function rowsOf(document: string, first: RegExp): Promise<string[][]> {
  const text = await readFile(join(projectDirectory, document), "utf8");
  const rows = text.split("\n").filter((line) => line.startsWith("| "));
  return rows.map((line) => cellsOf(line)).filter(([cell = ""]) => first.test(cell));
}

function cellsOf(line: string): string[] {
  return line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

export function testsNamed(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, test = ""]) => test);
}

/** Those that are not there; files are named relative to the directory, without ".test.ts". */
export async function missingTests(tests: readonly string[], directory: string): Promise<string[]> {
  const missing: string[] = [];
  for (const test of tests) {
    const [file = "", ...title] = test.split(": ");
    const source = await readFile(join(projectDirectory, directory, `${file}.test.ts`), "utf8").catch(() => "");
    if (title.length === 0 || !source.includes(title.join(": "))) missing.push(test);
  }
  return missing;
}
