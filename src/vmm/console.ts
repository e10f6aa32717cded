import { open } from "node:fs/promises";
import { isNotFound } from "../base/errors.js";

/** At most this much of a console goes into messages. */
const tailBytes = 4096;

/** Guest output made safe for logs and terminals: control characters but newline and tab become "?". */
export function printable(text: string): string {
  // The guest writes it: no escape sequences may reach a terminal.
  return text.replace(/\r\n/g, "\n").replace(/[^\P{C}\n\t]/gu, "?");
}

/** The end of a file that a VMM or a guest writes, printable. Empty when there is none. */
export async function tailOf(path: string, maxBytes = tailBytes): Promise<string> {
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(size, maxBytes));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length);
    return printable(buffer.subarray(0, bytesRead).toString("utf8")).trim();
  } catch (thrown) {
    if (isNotFound(thrown)) return "";
    throw thrown;
  }
}

const troubles = [
  /Kernel panic/,
  /\bBUG: /,
  /\bOops: /,
  /unable to handle/,
  /general protection fault/,
  /(?:divide error|invalid opcode|stack segment|double fault)/,
] as const;
/** Where it was, and who. */
const places = /\b(?:RIP: |Comm: )/;

/**
 * What a kernel says that it dies of, where it has: a report of many lines ends with what tells nothing. "" for none; each line
 * without its time.
 */
export function deathIn(text: string): string {
  const lines = text.split("\n").map((line) => line.replace(/^\[ *[\d.]+\] /, "").trim());
  const first = lines.findIndex((line) => troubles.some((pattern) => pattern.test(line)));
  if (first === -1) return "";
  const report = lines.slice(first);
  const panic = report.find((line) => line.includes("Kernel panic"));
  const told = [report[0], ...report.filter((line) => places.test(line)).slice(0, 2), panic];
  return [...new Set(told)]
    .filter((line) => line !== undefined)
    .join(" | ")
    .slice(0, 600);
}

/** The last lines as one, for the end of an error message. */
export function lastLines(text: string, count: number): string {
  return text.split("\n").slice(-count).join(" | ").slice(-600);
}
