import type { Call, Connection } from "../connection.js";
import { Deadline } from "../deadline.js";
import { FileServiceService as service, type FileEntry, type WriteFileRequest } from "../gen/sandboxes/v1/files.js";
import { WireError } from "../wire/wire.js";
import type { Body } from "./body.js";

/** So long may the runtime take for a piece of a file, and for its end. */
const idleMs = 60_000;

type Open = NonNullable<WriteFileRequest["open"]>;

/** All of it, or nothing. What can be sent again is, where the connection breaks: the second try writes the same. */
export async function writeFile(
  connection: Connection,
  open: Open,
  body: Body,
  call: Call,
): Promise<FileEntry | undefined> {
  const { stage, sandboxId } = call;
  return await connection.limited(call, async (outer) => {
    const idle = new Deadline(idleMs, outer, { stage, sandboxId });
    const attempts = connection.attempts(call, idle.signal);
    try {
      for (;;) {
        try {
          return (await connection.upload(service.writeFile, partsOf(open, body, idle), idle.signal)).entry;
        } catch (thrown) {
          if (!body.isRepeatable && thrown instanceof WireError) throw await connection.explain(thrown, call);
          await attempts.again(thrown);
        }
      }
    } finally {
      idle.clear();
    }
  });
}

/** What its own source takes is not the runtime's time. The end is said: a stream that was cut can look like one that ended. */
async function* partsOf(open: Open, body: Body, idle: Deadline): AsyncGenerator<WriteFileRequest, void> {
  idle.restart();
  yield { open };
  idle.pause();
  for await (const data of body.pieces()) {
    idle.restart();
    yield { data };
    idle.pause();
  }
  idle.restart();
  yield { end: {} };
}
