import { createSocket, type Socket as Datagrams } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import type { Native } from "../../../native/addon.js";
import { dnsEnds } from "../ruleset.js";
import type { Family } from "../ranges.js";

/** Gives the answer to a message; undefined: none. */
export type Answerer = (message: Buffer) => Promise<Buffer | undefined>;

const port = 53;
const mostConnections = 16;
const idleMs = 10_000;
const mostWaiting = 64;

/** The sockets in a pod's network namespace that its Box's questions arrive at, through the rules. */
export class DnsSockets implements AsyncDisposable {
  readonly #open: { close(done: () => void): unknown }[] = [];
  readonly #connections = new Set<Socket>();

  /** Undoes itself. */
  static async open(
    native: Pick<Native, "listenIn" | "closeFd">,
    netnsPath: string,
    families: readonly Family[],
    answer: Answerer,
  ): Promise<DnsSockets> {
    const sockets = new DnsSockets();
    try {
      for (const family of families) {
        const { own } = dnsEnds[family];
        const udp = await native.listenIn(netnsPath, "udp", own, port);
        await sockets.#serveDatagrams(udp, family, answer).catch(closing(native, udp));
        const tcp = await native.listenIn(netnsPath, "tcp", own, port);
        await sockets.#serveStreams(tcp, answer).catch(closing(native, tcp));
      }
    } catch (thrown) {
      await sockets[Symbol.asyncDispose]();
      throw thrown;
    }
    return sockets;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    await Promise.all(
      this.#open.splice(0).map(
        (one) =>
          new Promise<void>((resolve) => {
            one.close(() => {
              resolve();
            });
          }),
      ),
    );
  }

  async #serveDatagrams(fd: number, family: Family, answer: Answerer): Promise<void> {
    const socket: Datagrams = createSocket(family === 4 ? "udp4" : "udp6");
    let waiting = 0;
    socket.on("message", (message, from) => {
      if (waiting >= mostWaiting) return;
      waiting += 1;
      void answer(message)
        .then((bytes) => {
          // The guest is told nothing of a send that fails: it asks again.
          if (bytes !== undefined) socket.send(bytes, from.port, from.address, () => undefined);
        })
        .catch(() => undefined)
        .finally(() => {
          waiting -= 1;
        });
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ fd }, resolve);
    });
    socket.on("error", () => undefined);
    socket.unref();
    this.#open.push(socket);
  }

  async #serveStreams(fd: number, answer: Answerer): Promise<void> {
    const server: Server = createServer((connection) => {
      this.#connections.add(connection);
      connection.once("close", () => this.#connections.delete(connection));
      void converse(connection, answer);
    });
    server.maxConnections = mostConnections;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ fd }, resolve);
    });
    server.on("error", () => undefined);
    server.unref();
    this.#open.push(server);
  }
}

/** Messages with their length in front (RFC 1035, 4.2.2), one after the other. */
async function converse(connection: Socket, answer: Answerer): Promise<void> {
  connection.setTimeout(idleMs, () => connection.destroy());
  connection.on("error", () => undefined);
  connection.unref();
  let waiting: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of connection) {
      if (!Buffer.isBuffer(chunk)) break;
      waiting = Buffer.concat([waiting, chunk]);
      while (waiting.length >= 2 && waiting.length >= 2 + waiting.readUInt16BE(0)) {
        const end = 2 + waiting.readUInt16BE(0);
        const bytes = await answer(waiting.subarray(2, end));
        waiting = waiting.subarray(end);
        if (bytes === undefined) return;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(bytes.length);
        connection.write(Buffer.concat([length, bytes]));
      }
    }
  } catch {
    // It was reset, or was idle for too long.
  } finally {
    connection.destroy();
  }
}

function closing(native: Pick<Native, "closeFd">, fd: number): (thrown: unknown) => Promise<never> {
  return async (thrown) => {
    await native.closeFd(fd).catch(() => undefined);
    throw thrown;
  };
}
