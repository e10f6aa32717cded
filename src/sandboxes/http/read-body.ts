import type { IncomingMessage } from "node:http";
import type * as z from "zod";
import { RuntimeError } from "../../base/errors.js";
import { HeldBytes } from "../../base/held-bytes.js";

const mostIssue = 300;

/** The whole of a small body: more than it may be is refused as soon as it is known. */
export async function bodyBytes(message: IncomingMessage, mostBytes: number): Promise<Buffer> {
  const said = Number(message.headers["content-length"] ?? "0");
  if (said > mostBytes) throw tooLong(mostBytes);
  const held = new HeldBytes();
  for await (const chunk of bytesOf(message)) {
    if (held.length + chunk.length > mostBytes) throw tooLong(mostBytes);
    held.add(chunk);
  }
  return held.all();
}

/** What comes is bytes; leaving the loop leaves the connection, on which an answer is still to be written. */
export async function* bytesOf(message: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    const iterator: AsyncIterable<unknown> = message.iterator({ destroyOnReturn: false });
    for await (const chunk of iterator) if (Buffer.isBuffer(chunk)) yield chunk;
  } catch (cause) {
    throw new RuntimeError("canceled", "the connection ended in the middle of the request", { cause });
  }
}

const blockBytes = 64 * 1024;

/** The same bytes in few pieces, for readers to whom each piece costs more than its bytes. */
export async function* inBlocks(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let held = new HeldBytes();
  for await (const piece of body) {
    held.add(piece);
    if (held.length < blockBytes) continue;
    yield held.all();
    held = new HeldBytes();
  }
  if (held.length > 0) yield held.all();
}

function tooLong(mostBytes: number): RuntimeError {
  return new RuntimeError("invalidArgument", `the request is longer than ${mostBytes} bytes`);
}

/** JSON by its schema. null stands for what is absent, as in protobuf's JSON. An empty text is {}. */
export function parsed<T>(bytes: Buffer, schema: z.ZodType<T>): T {
  const found = schema.safeParse(jsonIn(bytes));
  if (found.success) return found.data;
  const [issue] = found.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.map(String).join(".")}: `;
  throw new RuntimeError("invalidArgument", `${where}${issue?.message ?? "not as it must be"}`.slice(0, mostIssue));
}

function jsonIn(bytes: Buffer): unknown {
  if (bytes.length === 0) return {};
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes), (_, member: unknown) =>
      member === null ? undefined : member,
    );
    return value;
  } catch (cause) {
    throw new RuntimeError("invalidArgument", "the request is no JSON in UTF-8", { cause });
  }
}

export async function jsonBody<T>(message: IncomingMessage, mostBytes: number, schema: z.ZodType<T>): Promise<T> {
  return parsed(await bodyBytes(message, mostBytes), schema);
}
