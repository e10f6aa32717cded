/** A SPDY/3.1 client as client-go's is one, small: opens streams, waits for each reply, no flow control. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { dataFrame, pingFrame, resetFrame, synStreamFrame, type Frame } from "../../../src/streaming/spdy/frames.js";
import { HeaderReader, HeaderWriter } from "../../../src/streaming/spdy/headers.js";
import { readFrames } from "../../../src/streaming/spdy/read-frames.js";

export class ClientStream {
  readonly id: number;
  readonly #client: SpdyClient;
  readonly parts: Buffer[] = [];
  replied = false;
  fin = false;
  reset: number | undefined;

  constructor(id: number, client: SpdyClient) {
    this.id = id;
    this.#client = client;
  }

  get text(): string {
    return Buffer.concat(this.parts).toString();
  }

  get ended(): boolean {
    return this.fin || this.reset !== undefined || this.#client.closed;
  }

  async write(data: string | Buffer): Promise<void> {
    await this.#client.send(dataFrame(this.id, false, Buffer.from(data)));
  }

  async end(): Promise<void> {
    await this.#client.send(dataFrame(this.id, true, Buffer.alloc(0)));
  }

  async abort(): Promise<void> {
    await this.#client.send(resetFrame(this.id, 5));
  }

  /** Resolves at the server's FIN or reset, or when the connection has gone. */
  async ending(): Promise<string> {
    await this.#client.until(() => this.ended);
    return this.text;
  }
}

export class SpdyClient {
  readonly connection: Duplex;
  readonly protocol: string;
  readonly streams = new Map<number, ClientStream>();
  readonly pongs: number[] = [];
  goAway = false;
  closed = false;
  /** Bytes received are counted and dropped when false. */
  keep = true;
  received = 0;
  /** Reads no further while it is pending. */
  hold: Promise<void> | undefined;
  readonly #writer = new HeaderWriter();
  readonly #reader = new HeaderReader();
  #nextId = 1;
  #waiting: (() => void)[] = [];

  constructor(connection: Duplex, protocol: string) {
    this.connection = connection;
    this.protocol = protocol;
    connection.on("error", () => undefined);
    void this.#read();
  }

  async open(headers: Readonly<Record<string, string>>, answered = true): Promise<ClientStream> {
    const stream = new ClientStream(this.#nextId, this);
    this.#nextId += 2;
    this.streams.set(stream.id, stream);
    await this.send(synStreamFrame(stream.id, false, await this.#writer.write(new Map(Object.entries(headers)))));
    if (answered) await this.until(() => stream.replied || stream.ended);
    return stream;
  }

  async send(frame: Buffer): Promise<void> {
    if (this.connection.write(frame) || this.connection.destroyed) return;
    await Promise.race([once(this.connection, "drain"), once(this.connection, "close")]);
  }

  async ping(id: number): Promise<void> {
    await this.send(pingFrame(id));
    await this.until(() => this.pongs.includes(id));
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.closed) throw new Error("the connection has gone");
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  destroy(): void {
    this.connection.destroy();
  }

  async #read(): Promise<void> {
    try {
      for await (const frame of readFrames(this.connection)) {
        await this.hold;
        await this.#take(frame);
        this.#wake();
      }
    } catch {
      // a broken connection
    }
    this.closed = true;
    this.#wake();
  }

  async #take(frame: Frame): Promise<void> {
    if (frame.type === "goAway") this.goAway = true;
    else if (frame.type === "ping") this.pongs.push(frame.id);
    else if (frame.type !== "ignored") {
      const stream = this.streams.get(frame.streamId);
      if (frame.type === "synReply" || frame.type === "headers" || frame.type === "synStream") {
        await this.#reader.read(frame.block);
        if (stream !== undefined) stream.replied = true;
      } else if (frame.type === "reset" && stream !== undefined) stream.reset = frame.status;
      else if (frame.type === "data" && stream !== undefined) {
        // As spdystream: data before the reply is lost.
        this.received += frame.data.length;
        if (stream.replied && this.keep) stream.parts.push(Buffer.from(frame.data));
        stream.fin ||= frame.fin;
      }
    }
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Upgrades a connection to the URL; what the server refuses is thrown as "HTTP <code>: <body>". */
export async function spdyConnect(url: string, protocols: readonly string[]): Promise<SpdyClient> {
  return await new Promise<SpdyClient>((resolve, reject) => {
    const headers = {
      Connection: "Upgrade",
      Upgrade: "SPDY/3.1",
      ...(protocols.length === 0 ? {} : { "X-Stream-Protocol-Version": [...protocols] }),
    };
    const options = { method: "POST", headers };
    // A kubelet's certificate is its own.
    const request = url.startsWith("https:")
      ? httpsRequest(url, { ...options, rejectUnauthorized: false })
      : httpRequest(url, options);
    request.on("upgrade", (response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(new SpdyClient(socket, String(response.headers["x-stream-protocol-version"])));
    });
    request.on("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (part: string) => (body += part));
      response.on("end", () => {
        reject(new Error(`HTTP ${String(response.statusCode)}: ${body.trim()}`));
      });
    });
    request.on("error", reject);
    request.end();
  });
}

/** A TCP connection to the server behind a URL, for what is no proper request. */
export async function rawConnect(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  return socket;
}

export interface CommandOptions {
  readonly stdin?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
  readonly tty?: boolean;
  readonly protocol?: string;
}

export interface OpenCommand {
  readonly client: SpdyClient;
  readonly error: ClientStream;
  readonly stdin: ClientStream;
  readonly stdout: ClientStream;
  readonly stderr: ClientStream;
  readonly resize: ClientStream;
}

/** Opens the streams of an exec or attach in the order of client-go; one that was not asked for is the error stream. */
export async function spdyCommand(url: string, options: CommandOptions): Promise<OpenCommand> {
  const client = await spdyConnect(url, [options.protocol ?? "v4.channel.k8s.io"]);
  const error = await client.open({ streamtype: "error" });
  const maybe = async (wanted: boolean | undefined, streamtype: string): Promise<ClientStream> =>
    wanted === true ? await client.open({ streamtype }) : error;
  const stdin = await maybe(options.stdin, "stdin");
  const stdout = await maybe(options.stdout, "stdout");
  const stderr = await maybe(options.stderr, "stderr");
  const resize = await maybe(options.tty, "resize");
  return { client, error, stdin, stdout, stderr, resize };
}
