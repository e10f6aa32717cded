import type { IncomingMessage } from "node:http";

/** Of `Upgrade: h2c` (RFC 7540, 3.2.1). */
const ofOffers = ["upgrade", "http2-settings"];

/** The request's head as it came, byte for byte, but for what it offers to go on to. */
export function headWithoutOffer({ method = "", url = "", httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = rawHeaders.slice(at, at + 2);
    const kept = name.toLowerCase() === "connection" ? withoutOffers(value) : value;
    if (!ofOffers.includes(name.toLowerCase()) && kept !== undefined) lines.push(`${name}: ${kept}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

/** Undefined where nothing else is in it. */
function withoutOffers(connection: string): string | undefined {
  const words = connection.split(",").map((word) => word.trim());
  const kept = words.filter((word) => !ofOffers.includes(word.toLowerCase()));
  return kept.length === 0 ? undefined : kept.join(", ");
}
