import { DbusWriter, type Variant } from "./dbus-writer.js";

/** A method call (D-Bus specification, "Message Protocol"). */
export interface DbusCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  /** Of the body; "" for none. */
  readonly signature: string;
  readonly body: (writer: DbusWriter) => void;
}

/** What is looked at of a message that came. */
export interface DbusReply {
  readonly kind: "return" | "error" | "other";
  readonly replySerial: number;
  /** Of an error. */
  readonly errorName: string;
  /** The first string of the body, where it begins with one: an error's message. */
  readonly text: string;
}

const kinds = { call: 1, return: 2, error: 3 } as const;
const fields = {
  path: 1,
  interface: 2,
  member: 3,
  errorName: 4,
  replySerial: 5,
  destination: 6,
  signature: 8,
} as const;
const fixedBytes = 16;
/** Answers of systemd that are of interest are small; the specification's limit is 128 MiB. */
const mostBytes = 1 << 20;

export function encodeCall(serial: number, call: DbusCall): Buffer {
  const body = new DbusWriter();
  call.body(body);
  const content = body.take();
  const header = new DbusWriter();
  for (const byte of ["l".charCodeAt(0), kinds.call, 0, 1]) header.byte(byte);
  header.uint32(content.length);
  header.uint32(serial);
  const named: (readonly [number, Variant])[] = [
    [fields.path, { type: "o", value: call.path }],
    [fields.interface, { type: "s", value: call.interface }],
    [fields.member, { type: "s", value: call.member }],
    [fields.destination, { type: "s", value: call.destination }],
  ];
  if (call.signature !== "") named.push([fields.signature, { type: "g", value: call.signature }]);
  header.array(named, 8, ([code, value]) => {
    header.struct(() => {
      header.byte(code);
      header.variant(value);
    });
  });
  header.align(8);
  return Buffer.concat([header.take(), content]);
}

/** The first message of what has come, and its length; undefined when not all of it is there. Throws for what is none. */
export function decodeMessage(bytes: Buffer): { readonly message: DbusReply; readonly length: number } | undefined {
  if (bytes.length < fixedBytes) return undefined;
  if (bytes[0] !== "l".charCodeAt(0)) throw new Error("a D-Bus message in another byte order");
  const bodyLength = bytes.readUInt32LE(4);
  const fieldsEnd = fixedBytes + bytes.readUInt32LE(12);
  const bodyAt = Math.ceil(fieldsEnd / 8) * 8;
  const length = bodyAt + bodyLength;
  if (length > mostBytes) throw new Error(`a D-Bus message of ${String(length)} bytes`);
  if (bytes.length < length) return undefined;
  const found = readFields(bytes.subarray(0, fieldsEnd));
  const body = bytes.subarray(bodyAt, length);
  const kind = bytes[1] === kinds.return ? "return" : bytes[1] === kinds.error ? "error" : "other";
  const text = found.signature.startsWith("s") ? readString(body, 0).text : "";
  return { message: { kind, replySerial: found.replySerial, errorName: found.errorName, text }, length };
}

function readFields(header: Buffer): { errorName: string; replySerial: number; signature: string } {
  const found = { errorName: "", replySerial: 0, signature: "" };
  for (let at = fixedBytes; at < header.length; at = Math.ceil(at / 8) * 8) {
    const code = header[at];
    const type = header.toString("latin1", at + 2, at + 3);
    at += 4; // the code, and a signature of one letter
    if (type === "u") {
      if (code === fields.replySerial) found.replySerial = header.readUInt32LE(at);
      at += 4;
    } else if (type === "g") {
      const length = header.readUInt8(at);
      if (code === fields.signature) found.signature = header.toString("latin1", at + 1, at + 1 + length);
      at += length + 2;
    } else if (type === "s" || type === "o") {
      const { text, end } = readString(header, at);
      if (code === fields.errorName) found.errorName = text;
      at = end;
    } else {
      throw new Error(`a field of type "${type}" in a D-Bus header`);
    }
  }
  return found;
}

function readString(bytes: Buffer, at: number): { text: string; end: number } {
  const length = bytes.readUInt32LE(at);
  const begin = at + 4;
  if (begin + length >= bytes.length + 1) throw new Error("a string beyond its D-Bus message");
  return { text: bytes.toString("utf8", begin, begin + length), end: begin + length + 1 };
}
