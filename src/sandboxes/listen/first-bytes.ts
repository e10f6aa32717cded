/** What the first bytes of a connection say of what will be spoken on it. */

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** A record of TLS that holds a handshake (RFC 8446, 5.1). */
const tlsHandshake = 0x16;

export type Spoken = "http2" | "http1" | "tls" | "unknown";

/** Undefined: more bytes are needed. At most as many as HTTP/2's preface has. */
export function spokenIn(bytes: Uint8Array): Spoken | undefined {
  const [first] = bytes;
  if (first === undefined) return undefined;
  const compared = Math.min(bytes.length, preface.length);
  if (preface.subarray(0, compared).equals(bytes.subarray(0, compared))) {
    return compared === preface.length ? "http2" : undefined;
  }
  if (first === tlsHandshake) return "tls";
  // Methods begin with a capital letter; RFC 9112 (2.2) lets empty lines stand before a request.
  const isLetter = first >= 0x41 && first <= 0x5a;
  return isLetter || first === 0x0d || first === 0x0a ? "http1" : "unknown";
}
