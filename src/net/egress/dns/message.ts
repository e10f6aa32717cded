/**
 * Questions for names as a hostile guest sends them, and answers to them (RFC 1035). One question, no compression in it, and
 * nothing of what else may be in the message: so little that a library would be more to look after. Pure.
 */

export const recordTypes = { A: 1, AAAA: 28 } as const;
export const responseCodes = { ok: 0, malformed: 1, failed: 2, noName: 3, unimplemented: 4, refused: 5 } as const;
export type ResponseCode = keyof typeof responseCodes;

export interface Question {
  readonly id: number;
  readonly recursion: boolean;
  /** In small letters, labels parted by dots. */
  readonly name: string;
  readonly type: number;
  /** As it was sent, for the answer. */
  readonly bytes: Buffer;
}

const headerBytes = 12;
/** The longest name, its type and class, and one record of EDNS with options. */
const longestQuestion = 1024;
const longestName = 255;
const classInternet = 1;
/** A pointer to the name of the question. */
const nameOfQuestion = 0xc00c;
const label = /^[a-z0-9_-]+$/;

/** Undefined for what is not to be answered; a code for what is to be told so. */
export function readQuestion(
  message: Buffer,
): Question | { readonly id: number; readonly code: ResponseCode } | undefined {
  if (message.length < headerBytes || message.length > longestQuestion) return undefined;
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  if ((flags & 0x8000) !== 0) return undefined; // an answer
  if ((flags & 0x7800) !== 0) return { id, code: "unimplemented" };
  const counts = [4, 6, 8].map((at) => message.readUInt16BE(at));
  if (counts.join() !== "1,0,0" || message.readUInt16BE(10) > 1) return { id, code: "malformed" };
  const found = readName(message, headerBytes);
  if (found === undefined || found.end + 4 > message.length) return { id, code: "malformed" };
  const type = message.readUInt16BE(found.end);
  const asksInternet = message.readUInt16BE(found.end + 2) === classInternet;
  if (!asksInternet || !found.isHost) return { id, code: "refused" };
  const bytes = message.subarray(headerBytes, found.end + 4);
  return { id, recursion: (flags & 0x0100) !== 0, name: found.name, type, bytes };
}

function readName(message: Buffer, start: number): { name: string; end: number; isHost: boolean } | undefined {
  const labels: string[] = [];
  let at = start;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63) return undefined; // beyond the end, or a pointer
    at += 1;
    if (length === 0) break;
    if (at + length > message.length || at + length - start >= longestName) return undefined;
    labels.push(message.toString("latin1", at, at + length).toLowerCase());
    at += length;
  }
  return { name: labels.join("."), end: at, isHost: labels.length > 0 && labels.every((one) => label.test(one)) };
}

export interface Answer {
  readonly code: ResponseCode;
  /** Of the question's type, in the bytes of that type. */
  readonly addresses: readonly Buffer[];
  readonly ttlS: number;
}

export function writeAnswer(question: Question, { code, addresses, ttlS }: Answer): Buffer {
  const header = headerOf(question.id, code, question.recursion);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(addresses.length, 6);
  const records = addresses.map((address) => {
    const record = Buffer.alloc(12);
    record.writeUInt16BE(nameOfQuestion, 0);
    record.writeUInt16BE(question.type, 2);
    record.writeUInt16BE(classInternet, 4);
    record.writeUInt32BE(ttlS, 6);
    record.writeUInt16BE(address.length, 10);
    return Buffer.concat([record, address]);
  });
  return Buffer.concat([header, question.bytes, ...records]);
}

/** To what could not be read. */
export function writeRefusal({ id, code }: { readonly id: number; readonly code: ResponseCode }): Buffer {
  return headerOf(id, code, true);
}

function headerOf(id: number, code: ResponseCode, recursion: boolean): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(0x8080 | (recursion ? 0x0100 : 0) | responseCodes[code], 2);
  return header;
}
