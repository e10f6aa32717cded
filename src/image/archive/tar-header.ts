/** One header block of a tar archive. Source: pax(5) "ustar interchange format"; GNU tar manual, "Basic Tar Format". */
import { RuntimeError } from "../../base/errors.js";

export const blockBytes = 512;

/** Fields of a header block as they stand there, before PAX records and long names are applied. */
export interface RawHeader {
  readonly flag: string;
  readonly name: string;
  readonly link: string;
  readonly sizeBytes: number;
}

/** Null for a block of zeros: the end of the archive. */
export function parseHeader(block: Buffer): RawHeader | null {
  if (block.every((byte) => byte === 0)) return null;
  checkSum(block);
  const posix = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = posix ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return {
    flag: block.toString("latin1", 156, 157),
    name: prefix === "" ? name : `${prefix}/${name}`,
    link: text(block, 157, 100),
    sizeBytes: number(block, 124, 12, "size"),
  };
}

export function malformedTar(why: string): RuntimeError {
  return new RuntimeError("internal", `the archive is not a tar: ${why}`);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text that names something: what is not UTF-8 would come out as another name. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    const shown = Buffer.from(bytes).toString("latin1").slice(0, 120);
    throw new RuntimeError("unimplemented", `the name "${shown}" is not UTF-8`, { cause });
  }
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return decodeText(end < 0 ? field : field.subarray(0, end));
}

/** The sum counts its own field as blanks; old writers summed signed bytes. */
function checkSum(block: Buffer): void {
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < blockBytes; at += 1) {
    const counted = at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0);
    unsigned += counted;
    signed += counted > 127 ? counted - 256 : counted;
  }
  const stored = number(block, 148, 8, "checksum");
  if (stored !== unsigned && stored !== signed) throw malformedTar("a header's checksum is wrong");
}

/** Octal digits, or big-endian binary when the first bit is set (GNU base-256; 0xff begins a negative number). */
function number(block: Buffer, at: number, length: number, what: string): number {
  const field = block.subarray(at, at + length);
  const first = field[0] ?? 0;
  if (first >= 0x80) return binaryNumber(field, what);
  const digits = field
    .toString("latin1")
    .replace(/\0[^]*$/, "")
    .trim();
  if (digits === "") return 0;
  if (!/^[0-7]+$/.test(digits)) throw malformedTar(`a header's ${what} is not a number`);
  return checked(Number.parseInt(digits, 8), what);
}

function binaryNumber(field: Buffer, what: string): number {
  if (field[0] === 0xff) throw malformedTar(`a header's ${what} is negative`);
  let value = 0n;
  for (const [position, byte] of field.entries()) value = (value << 8n) | BigInt(position === 0 ? byte & 0x7f : byte);
  return checked(Number(value), what);
}

function checked(value: number, what: string): number {
  if (!Number.isSafeInteger(value)) throw malformedTar(`a header's ${what} is out of range`);
  return value;
}
