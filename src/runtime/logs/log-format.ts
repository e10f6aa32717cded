/**
 * One line of a CRI log: "<time> <stdout|stderr> <P|F> <content>\n".
 * Source: kubelet's reader, cri-client pkg/logs/logs.go parseCRILog.
 */
import type { LinePiece } from "./line-splitter.js";

export type StreamName = "stdout" | "stderr";

const nsInSecond = 1_000_000_000n;
/** The last nanosecond of the year 9999: RFC 3339 has four digits. */
const lastNs = 253_402_300_799n * nsInSecond + 999_999_999n;

/** RFC 3339 in UTC, always nine digits, so that stamps sort as text. A time outside the years 1970 to 9999 is cut to them. */
function formatStamp(timeNs: bigint): string {
  const ns = timeNs < 0n ? 0n : timeNs > lastNs ? lastNs : timeNs;
  const whole = new Date(Number(ns / nsInSecond) * 1000).toISOString().slice(0, 19);
  return `${whole}.${(ns % nsInSecond).toString().padStart(9, "0")}Z`;
}

/** The inverse of `formatStamp`; undefined for any other text. */
export function parseStamp(text: string): bigint | undefined {
  const parts = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z$/.exec(text);
  if (parts === null) return undefined;
  const ms = Date.parse(`${parts[1] ?? ""}Z`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt(parts[2] ?? "0");
}

/** The parts of a line, to be joined with those of others: a buffer of its own for each line would be much garbage. */
export function lineParts(timeNs: bigint, stream: StreamName, piece: LinePiece): readonly Buffer[] {
  const head = Buffer.from(`${formatStamp(timeNs)} ${stream} ${piece.partial ? "P" : "F"} `, "latin1");
  return [head, piece.content, lineFeed];
}

const lineFeed = Buffer.from("\n");
