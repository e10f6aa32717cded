/** Node's requests and answers as those of the Fetch standard, which the protocol's library speaks. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { bytesOf, inBlocks } from "../http/read-body.js";
import type { HttpRequest } from "../listen/protocol.js";

/** Nothing of the body is read before the library asks for it. */
export function webRequestOf({ message, method, url, signal }: HttpRequest): Request {
  const headers = new Headers();
  for (const [name, values] of Object.entries(message.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  const hasBody = method !== "GET" && method !== "HEAD";
  // The library adds each piece to a text by itself.
  const pieces = (): Readable => Readable.from(inBlocks(bytesOf(message)), { objectMode: false });
  const body = hasBody ? { body: Readable.toWeb(pieces()), duplex: "half" as const } : {};
  return new Request(url, { method, headers, signal, ...body });
}

/** At the client's speed. A client that has gone ends it. */
export async function sendWebResponse(answer: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  const gone = new AbortController();
  response.once("close", () => {
    gone.abort();
  });
  if (answer.body !== null) {
    response.flushHeaders();
    for await (const part of Readable.fromWeb(answer.body)) {
      if (gone.signal.aborted) return;
      if (!response.write(part)) await once(response, "drain", { signal: gone.signal }).catch(() => undefined);
    }
  }
  response.end();
}
