/** `multipart/form-data` as it comes (RFC 7578): one part after the other, nothing of a file kept but what its end may be in. */
import { RuntimeError } from "../../base/errors.js";

const mostHeadBytes = 16 * 1024;
const mostPreambleBytes = 64 * 1024;
const lineEnd = "\r\n";

export interface Part {
  readonly name: string | undefined;
  readonly fileName: string | undefined;
  /** Ends with the part. What is not read of it is passed over with the next part. */
  readonly data: AsyncGenerator<Uint8Array>;
}

/** Of `Content-Type`; undefined where it is none of multipart's. */
export function boundaryOf(contentType: string): string | undefined {
  if (!/^multipart\/form-data\s*;/i.test(contentType)) return undefined;
  const [, quoted, plain] = /;\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined) throw new RuntimeError("invalidArgument", "multipart/form-data without a boundary");
  return boundary;
}

export async function* partsOf(
  body: AsyncIterable<Uint8Array>,
  boundary: string,
  mostParts: number,
): AsyncGenerator<Part> {
  const input = new Input(body);
  const delimiter = Buffer.from(`${lineEnd}--${boundary}`, "latin1");
  input.prepend(lineEnd); // the first boundary may be the first line
  await pass(untilMark(input, delimiter), mostPreambleBytes);
  for (let count = 0; !(await input.begins("--")); count += 1) {
    if (count >= mostParts) throw new RuntimeError("invalidArgument", `more than ${mostParts} parts`);
    const head = await headOf(input);
    const data = untilMark(input, delimiter);
    yield { ...namesIn(head), data };
    await pass(data, Number.POSITIVE_INFINITY);
  }
}

/** What has come and has not been taken. */
class Input {
  readonly #chunks: AsyncIterator<Uint8Array>;
  held: Buffer = Buffer.alloc(0);

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#chunks = body[Symbol.asyncIterator]();
  }

  prepend(text: string): void {
    this.held = Buffer.concat([Buffer.from(text), this.held]);
  }

  /** Throws at the end: there is always more to come than what is asked for. */
  async more(): Promise<void> {
    const next = await this.#chunks.next();
    if (next.done === true) throw new RuntimeError("invalidArgument", "the form ends in the middle");
    this.held = this.held.length === 0 ? Buffer.from(next.value) : Buffer.concat([this.held, next.value]);
  }

  take(length: number): Buffer {
    const taken = this.held.subarray(0, length);
    this.held = this.held.subarray(length);
    return taken;
  }

  async begins(text: string): Promise<boolean> {
    while (this.held.length < text.length) await this.more();
    return this.held.toString("latin1", 0, text.length) === text;
  }
}

/** All before the mark, which is passed over. */
async function* untilMark(input: Input, mark: Buffer): AsyncGenerator<Uint8Array> {
  for (;;) {
    const at = input.held.indexOf(mark);
    if (at >= 0) {
      if (at > 0) yield input.take(at);
      input.take(mark.length);
      return;
    }
    const sure = input.held.length - mark.length + 1;
    if (sure > 0) yield input.take(sure);
    await input.more();
  }
}

async function pass(data: AsyncGenerator<Uint8Array>, mostBytes: number): Promise<void> {
  let left = mostBytes;
  for (let next = await data.next(); next.done !== true; next = await data.next()) {
    left -= next.value.length;
    if (left < 0) throw new RuntimeError("invalidArgument", "too much before the first part");
  }
}

/** From the end of the boundary's line to the empty line. */
async function headOf(input: Input): Promise<string> {
  for (;;) {
    const end = input.held.indexOf(`${lineEnd}${lineEnd}`);
    if (end >= 0 && end <= mostHeadBytes) {
      const head = input.take(end + 2 * lineEnd.length).toString("utf8");
      if (!/^[ \t]*\r\n/.test(head)) throw new RuntimeError("invalidArgument", "a boundary with something behind it");
      return head;
    }
    if (end > mostHeadBytes || input.held.length > mostHeadBytes + 2 * lineEnd.length) {
      throw new RuntimeError("invalidArgument", `a part's head is longer than ${mostHeadBytes} bytes`);
    }
    await input.more();
  }
}

function namesIn(head: string): Pick<Part, "name" | "fileName"> {
  const line = head.split(lineEnd).find((one) => /^content-disposition:/i.test(one)) ?? "";
  return { name: valueOf(line, "name"), fileName: valueOf(line, "filename") };
}

/** Browsers, undici and httpx write `"`, CR and LF of a name as %22, %0D and %0A, and all else as it is. */
function valueOf(line: string, name: string): string | undefined {
  const [, value] = new RegExp(`;\\s*${name}="([^"\\r\\n]*)"`, "i").exec(line) ?? [];
  return value?.replaceAll(/%22/g, '"').replaceAll(/%0D/gi, "\r").replaceAll(/%0A/gi, "\n");
}
