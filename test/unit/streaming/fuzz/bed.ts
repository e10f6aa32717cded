/** The whole streaming server, with clients that send bytes of any kind. */
import { expect } from "chai";
import { setImmediate as turn } from "node:timers/promises";
import type { CommandStreams, ForwardRequest, StreamRequest } from "../../../../src/streaming/requests.js";
import type { StreamingServer } from "../../../../src/streaming/server.js";
import { settled } from "../../../support/fuzzing/settled.js";
import { rawConnect } from "../../../support/streaming/spdy-client.js";
import { command, testServer } from "../support.js";

/** Tokens that a damaged request has not used stay for a minute; a thousand are the most. */
const offersOfServer = 500;
const mostCells = 65_535;
/** For a request that was answered to reach what serves it; one that never does is not waited for. */
const mostTurns = 30;

/** What the other side of the client's connection has seen of it. */
export interface Served {
  started: number;
  ended: number;
  bytes: number;
  sizes: number;
}

export class StreamingBed {
  served: Served = { started: 0, ended: 0, bytes: 0, sizes: 0 };
  #server: StreamingServer | undefined;
  #offered = 0;

  /** What a client sends for a request whose path is put in place of `PATH`, and what it is answered. */
  async exchange(request: StreamRequest, bytes: Buffer, waits: boolean): Promise<Buffer> {
    this.served = { started: 0, ended: 0, bytes: 0, sizes: 0 };
    const url = (await this.#fresh()).offer(request);
    const socket = await rawConnect(url);
    const parts: Buffer[] = [];
    const closed = new Promise<void>((resolve) => {
      socket.once("close", () => {
        resolve();
      });
    });
    const answered = new Promise<void>((resolve) => socket.once("data", resolve));
    socket.on("data", (part: Buffer) => parts.push(part)).on("error", () => undefined); // "close" follows
    socket.write(withPath(bytes, new URL(url).pathname));
    if (waits) {
      await settled("an answer", Promise.race([answered, closed]));
      for (let turns = 0; turns < mostTurns && this.served.started === 0; turns += 1) await turn();
    }
    socket.end();
    await settled("the connection's end", closed);
    const { served } = this;
    const done = async (): Promise<void> => {
      while (served.ended < served.started) await turn();
    };
    await settled("the end of what the connection had started", done());
    return Buffer.concat(parts);
  }

  /** Reads all there is to read, and writes stdin back. */
  command(): StreamRequest {
    return command({ stdin: true, tty: true }, async (streams, signal) => await this.#serve(streams, signal));
  }

  /** Every port answers with what it is sent. */
  forward(): ForwardRequest {
    return {
      kind: "portforward",
      ports: [80],
      connect: (port) => {
        expect(port).to.be.within(1, 65_535);
        this.served.started += 1;
        return Promise.resolve(echo(this.served));
      },
    };
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  async #fresh(): Promise<StreamingServer> {
    if (this.#offered++ % offersOfServer === 0) {
      await this.close();
      this.#server = await testServer();
    }
    if (this.#server === undefined) throw new Error("no server");
    return this.#server;
  }

  async #serve({ stdin, stdout, sizes }: CommandStreams, signal: AbortSignal): Promise<number> {
    const { served } = this;
    served.started += 1;
    try {
      const reading = (async () => {
        for await (const { width, height } of sizes) {
          served.sizes += 1;
          for (const cells of [width, height]) expect(Number.isInteger(cells) && cells >= 0 && cells <= mostCells);
        }
      })();
      for await (const bytes of stdin ?? []) {
        served.bytes += bytes.length;
        await stdout?.write(bytes);
      }
      if (signal.aborted) await reading;
      return 0;
    } finally {
      served.ended += 1;
    }
  }
}

function echo(served: Served) {
  const parts: Uint8Array[] = [];
  let ended = false;
  let wake: () => void = () => undefined;
  const end = (): void => {
    ended = true;
    wake();
  };
  return {
    async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
      for (;;) {
        const part = parts.shift();
        if (part !== undefined) yield part;
        else if (ended) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    write: (bytes: Uint8Array) => {
      served.bytes += bytes.length;
      parts.push(Buffer.from(bytes));
      wake();
      return Promise.resolve();
    },
    end,
    close: () => {
      served.ended += 1;
      end();
    },
  };
}

function withPath(bytes: Buffer, path: string): Buffer {
  const at = bytes.indexOf("PATH");
  return at === -1 ? bytes : Buffer.concat([bytes.subarray(0, at), Buffer.from(path), bytes.subarray(at + 4)]);
}
