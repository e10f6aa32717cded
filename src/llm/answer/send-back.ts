/** An answer on its way back, piece by piece as it comes: nothing waits for more, and no more is taken than goes on. */
import type { ServerResponse } from "node:http";
import { Scrub } from "./scrub.js";

/** A client that takes nothing for so long is given up. */
export interface SendLimits {
  readonly stallMs: number;
}

/** `seen` is told each piece when it has been given on. Throws what the upstream's body throws. */
export async function sendBack(
  body: AsyncIterable<unknown>,
  response: ServerResponse,
  key: string | undefined,
  limits: SendLimits,
  seen: (chunk: Buffer) => void,
): Promise<void> {
  const scrub = key === undefined ? undefined : new Scrub(key);
  for await (const chunk of body) {
    if (!Buffer.isBuffer(chunk)) continue;
    await write(response, scrub === undefined ? chunk : scrub.write(chunk), limits);
    seen(chunk);
  }
  const rest = scrub?.end();
  if (rest !== undefined) await write(response, rest, limits);
}

async function write(response: ServerResponse, chunk: Buffer, { stallMs }: SendLimits): Promise<void> {
  if (response.destroyed) throw new ClientStopped("the client has gone");
  if (chunk.length === 0 || response.write(chunk)) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      settle(new ClientStopped("the client takes nothing"));
    }, stallMs);
    const onDrain = (): void => {
      settle(undefined);
    };
    const onClose = (): void => {
      settle(new ClientStopped("the client has gone"));
    };
    const settle = (why: Error | undefined): void => {
      clearTimeout(timer);
      response.off("drain", onDrain).off("close", onClose);
      if (why === undefined) resolve();
      else reject(why);
    };
    response.on("drain", onDrain).on("close", onClose);
  });
}

export class ClientStopped extends Error {}
