/** HTTP/2 by hand, of a server that says what it likes (RFC 9113): only flow control is kept to, or it would be hung up on. */
import type { Socket } from "node:net";

export const frameTypes = { data: 0, headers: 1, settings: 4, ping: 6, windowUpdate: 8 } as const;
const flags = { ack: 1, endStream: 1, endHeaders: 4 } as const;
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const headBytes = 9;

export function frame(type: number, flag: number, payload: Uint8Array, stream = 0): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flag;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function windowUpdate(bytes: number): Buffer {
  const increment = Buffer.alloc(4);
  increment.writeUInt32BE(bytes);
  return frame(frameTypes.windowUpdate, 0, increment);
}

/** RFC 7541, 6.2.2: a literal without Huffman, and without a place in the table. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([number(bytes.length, 127), bytes]);
}

/** RFC 7541, 5.1, with a prefix of seven bits. */
function number(value: number, most: number): Buffer {
  if (value < most) return Buffer.from([value]);
  const bytes = [most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** One call, as the server sees it. */
export class HostileStream {
  readonly #connection: HostileConnection;
  readonly #id: number;

  constructor(connection: HostileConnection, id: number) {
    this.#connection = connection;
    this.#id = id;
  }

  async headers(more: readonly (readonly [string, string])[] = []): Promise<void> {
    const fields = [["content-type", "application/grpc"] as const, ...more].map(([name, value]) =>
      literal(name, value),
    );
    await this.#block([Buffer.from([0x88]), ...fields], 0);
  }

  async trailers(status: string, more: readonly (readonly [string, string])[] = []): Promise<void> {
    const fields = [["grpc-status", status] as const, ...more].map(([name, value]) => literal(name, value));
    await this.#block(fields, flags.endStream);
  }

  /** In frames of `frameBytes` each. */
  async data(bytes: Uint8Array, frameBytes = 16_384): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const part = Math.min(bytes.length - at, await this.#connection.room(this.#id));
      const frames: Buffer[] = [];
      for (let from = at; from < at + part; from += frameBytes) {
        const piece = bytes.subarray(from, Math.min(from + frameBytes, at + part));
        frames.push(frame(frameTypes.data, 0, piece, this.#id));
      }
      this.#connection.take(this.#id, part);
      await this.#connection.write(Buffer.concat(frames));
      at += part;
    }
  }

  /** As one that has an opinion about everything but the answer. */
  async other(bytes: Buffer): Promise<void> {
    await this.#connection.write(bytes);
  }

  async #block(parts: readonly Buffer[], flag: number): Promise<void> {
    await this.#connection.headers(this.#id, Buffer.concat(parts), flag);
  }
}

export class HostileConnection {
  readonly #socket: Socket;
  readonly #answer: (stream: HostileStream) => Promise<void>;
  readonly #windows = new Map<number, number>([[0, 65_535]]);
  #initial = 65_535;
  #wake: () => void = () => undefined;
  #received = Buffer.alloc(0);

  constructor(socket: Socket, answer: (stream: HostileStream) => Promise<void>) {
    this.#socket = socket;
    this.#answer = answer;
    let greeted = false;
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#wake();
    });
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      if (!greeted) {
        socket.write(this.#received.toString().replace("HOST ", "AGENT "));
        socket.write(frame(frameTypes.settings, 0, Buffer.alloc(0)));
        this.#received = Buffer.alloc(0);
        greeted = true;
      } else {
        this.#read();
      }
    });
  }

  async write(bytes: Buffer): Promise<void> {
    if (this.#socket.destroyed) throw new Error("hung up on");
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(bytes, (error) => {
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
  }

  async headers(id: number, block: Buffer, flag: number): Promise<void> {
    const first = block.subarray(0, 16_384);
    const frames = [frame(frameTypes.headers, flag | (block.length > 16_384 ? 0 : flags.endHeaders), first, id)];
    for (let at = 16_384; at < block.length; at += 16_384) {
      const isLast = at + 16_384 >= block.length;
      frames.push(frame(9, isLast ? flags.endHeaders : 0, block.subarray(at, at + 16_384), id));
    }
    await this.write(Buffer.concat(frames));
  }

  /** Waits until the client takes more. */
  async room(id: number): Promise<number> {
    for (;;) {
      if (this.#socket.destroyed) throw new Error("hung up on");
      const room = Math.min(this.#windows.get(0) ?? 0, this.#windows.get(id) ?? this.#initial);
      if (room > 0) return room;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  take(id: number, bytes: number): void {
    this.#add(0, -bytes);
    this.#add(id, -bytes);
  }

  #add(id: number, bytes: number): void {
    this.#windows.set(id, (this.#windows.get(id) ?? this.#initial) + bytes);
  }

  #read(): void {
    if (this.#received.subarray(0, 3).toString() === "PRI") {
      if (this.#received.length < preface.length) return;
      this.#received = this.#received.subarray(preface.length);
    }
    while (this.#received.length >= headBytes) {
      const end = headBytes + this.#received.readUIntBE(0, 3);
      if (this.#received.length < end) return;
      this.#frame(this.#received.subarray(0, headBytes), this.#received.subarray(headBytes, end));
      this.#received = this.#received.subarray(end);
    }
  }

  #frame(head: Buffer, payload: Buffer): void {
    const id = head.readUInt32BE(5);
    // What was taken is given back, or a client may ask no more after 64 KiB of questions.
    if (head[3] === frameTypes.data && payload.length > 0) this.#socket.write(windowUpdate(payload.length));
    if (head[3] === frameTypes.settings) this.#settings(head[4] ?? 0, payload);
    if (head[3] === frameTypes.windowUpdate) {
      this.#add(id, payload.readUInt32BE(0));
      this.#wake();
    }
    if (head[3] === frameTypes.ping && head[4] === 0) this.#socket.write(frame(frameTypes.ping, flags.ack, payload));
    if (head[3] === frameTypes.headers) void this.#answer(new HostileStream(this, id)).catch(() => undefined);
  }

  #settings(flag: number, payload: Buffer): void {
    if ((flag & flags.ack) !== 0) return;
    for (let at = 0; at + 6 <= payload.length; at += 6)
      if (payload.readUInt16BE(at) === 4) this.#initial = payload.readUInt32BE(at + 2);
    this.#socket.write(frame(frameTypes.settings, flags.ack, Buffer.alloc(0)));
  }
}
