import { createSocket, type Socket } from "node:dgram";
import { createServer, isIPv6, type Server } from "node:net";

/** A name server, as it stands upstream: it tells whatever it was told to, and what it was asked. */
export class NameServer {
  readonly #socket: Socket = createSocket("udp4");
  #streams: Server | undefined;
  /** Addresses of names; a name among them is an alias. */
  readonly records = new Map<string, readonly string[]>();
  readonly asked: string[] = [];
  ttlS = 60;

  /** `fd`: a socket that is bound already, elsewhere; else on this machine's loopback. */
  static async open(fd?: number): Promise<NameServer> {
    const server = new NameServer();
    server.#socket.on("message", (message, { port, address }) => {
      server.#socket.send(server.#answerTo(message), port, address);
    });
    await new Promise<void>((resolve) => {
      if (fd === undefined) server.#socket.bind(0, "127.0.0.1", resolve);
      else server.#socket.bind({ fd }, resolve);
    });
    return server;
  }

  /** By TCP too, each question in one piece; `fd`: a socket that listens already. */
  async serveStreams(fd: number): Promise<void> {
    const server = createServer((connection) => {
      connection.on("error", () => undefined);
      connection.on("data", (message: Buffer) => {
        const answer = this.#answerTo(message.subarray(2));
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        connection.end(Buffer.concat([length, answer]));
      });
    });
    this.#streams = server;
    await new Promise<void>((resolve) => server.listen({ fd }, resolve));
  }

  get address(): string {
    return `127.0.0.1:${String(this.#socket.address().port)}`;
  }

  async close(): Promise<void> {
    this.#streams?.close();
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }

  #answerTo(message: Buffer): Buffer {
    const end = message.indexOf(0, 12) + 5;
    const labels: string[] = [];
    for (let at = 12; message[at] !== 0; at += (message[at] ?? 0) + 1) {
      labels.push(message.toString("latin1", at + 1, at + 1 + (message[at] ?? 0)));
    }
    const name = labels.join(".").toLowerCase();
    const type = message.readUInt16BE(end - 4);
    this.asked.push(name);
    const found = this.records.get(name);
    const records: Buffer[] = [];
    let owner = name;
    for (const one of found ?? []) {
      const isName = /[a-z]\./.test(one);
      const wanted = isName || (isIPv6(one) ? type === 28 : type === 1);
      if (wanted) records.push(recordOf(owner, one, isName, this.ttlS));
      if (isName) owner = one;
    }
    const header = Buffer.from(message.subarray(0, 12));
    header.writeUInt16BE(0x8180 | (found === undefined ? 3 : 0), 2);
    header.writeUInt16BE(records.length, 6);
    header.writeUInt16BE(0, 10);
    return Buffer.concat([header, message.subarray(12, end), ...records]);
  }
}

function recordOf(owner: string, value: string, isName: boolean, ttlS: number): Buffer {
  const data = isName ? nameBytes(value) : isIPv6(value) ? sixBytes(value) : Buffer.from(value.split(".").map(Number));
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(isName ? 5 : data.length === 16 ? 28 : 1, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt32BE(ttlS, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([nameBytes(owner), fixed, data]);
}

function nameBytes(name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}

/** With one "::" in it. */
function sixBytes(address: string): Buffer {
  const [left = "", right = ""] = address.split("::");
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((one) => Number.parseInt(one, 16));
  const [before, after] = [groups(left), groups(right)];
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
  return Buffer.concat(all.map((group) => Buffer.from([group >> 8, group & 255])));
}
