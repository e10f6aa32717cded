import type { TerminalSize } from "../requests.js";

/** A size is some 25 bytes; what is longer without an end is none. */
const maxPendingLength = 1024;
const maxCells = 65_535;

/**
 * The sizes in a resize channel: JSON objects `{"Width":80,"Height":24}` one after another, cut anywhere. What is not
 * one is left out. Source: client-go tools/remotecommand/resize.go; Go takes member names in any case.
 */
export async function* terminalSizes(channel: AsyncIterable<Uint8Array>): AsyncGenerator<TerminalSize, void> {
  let pending = "";
  for await (const bytes of channel) {
    pending += Buffer.from(bytes).toString("latin1");
    for (let end = pending.indexOf("}"); end !== -1; end = pending.indexOf("}")) {
      const size = parseSize(pending.slice(0, end + 1));
      pending = pending.slice(end + 1);
      if (size !== undefined) yield size;
    }
    if (pending.length > maxPendingLength) pending = "";
  }
}

function parseSize(text: string): TerminalSize | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const members = new Map<string, unknown>(Object.entries(value).map(([name, member]) => [name.toLowerCase(), member]));
  const [width, height] = [members.get("width"), members.get("height")];
  return isCells(width) && isCells(height) ? { width, height } : undefined;
}

function isCells(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= maxCells;
}
