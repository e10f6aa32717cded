import { once } from "node:events";
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { expect } from "chai";
import { WebSocket } from "ws";
import { messageOf } from "../../../src/base/errors.js";
import type { CommandRequest } from "../../../src/streaming/requests.js";
import type { StreamingServer } from "../../../src/streaming/server.js";
import { serveWebSocket } from "../../../src/streaming/websocket/upgrade.js";
import { rawConnect } from "../../support/streaming/spdy-client.js";
import { aborted, command, testServer, textOf } from "./support.js";

/** What came on each channel, and how the connection was closed. */
interface Seen {
  readonly channels: Map<number, string>;
  readonly code: number;
}

async function seenBy(socket: WebSocket): Promise<Seen> {
  const channels = new Map<number, string>();
  socket.on("message", (data: Buffer, isBinary) => {
    const channel = isBinary ? data.readUInt8(0) : Number(data.toString("latin1", 0, 1));
    const rest = data.subarray(1).toString("latin1");
    const text = isBinary ? rest : Buffer.from(rest, "base64").toString("latin1");
    channels.set(channel, (channels.get(channel) ?? "") + text);
  });
  const code = await new Promise<number>((resolve) => socket.once("close", resolve));
  return { channels, code };
}

describe("a WebSocket's handshake", () => {
  it("that nobody waits for any more fails, and is not waited for", async () => {
    const socket = new PassThrough().end();
    const request = new IncomingMessage(new Socket());
    const [version, key] = ["13", "dGhlIHNhbXBsZSBub25jZQ=="];
    const headers = { upgrade: "websocket", "sec-websocket-version": version, "sec-websocket-key": key };
    Object.assign(request, { method: "GET", url: "/", headers });
    let isServed = false;
    const served = serveWebSocket({ request, socket, head: Buffer.alloc(0) }, "", () => {
      isServed = true;
      return Promise.resolve();
    });
    expect(await served.catch(messageOf)).to.contain("the client has gone");
    expect([isServed, socket.destroyed]).to.deep.equal([false, true]);
  });
});

describe("commands over a WebSocket", () => {
  let server: StreamingServer;
  beforeEach(async () => {
    server = await testServer();
  });
  afterEach(async () => {
    await server.close();
  });

  /** Open, and with its listeners on, before anything can have come. */
  async function client(
    request: CommandRequest,
    protocols: string[],
  ): Promise<{ socket: WebSocket; seen: Promise<Seen> }> {
    const socket = new WebSocket(server.offer(request).replace("http:", "ws:"), protocols);
    const seen = seenBy(socket);
    await once(socket, "open");
    return { socket, seen };
  }

  const upperCase = command({ stdin: true }, async ({ stdin, stdout }) => {
    await stdout?.write(Buffer.from((await textOf(stdin)).toUpperCase()));
    return 7;
  });

  it("v5: a channel that the client closes has ended, and the status comes before a normal end", async () => {
    const { socket, seen } = await client(upperCase, ["v9.channel.k8s.io", "v5.channel.k8s.io"]);
    expect(socket.protocol).to.equal("v5.channel.k8s.io");
    socket.send(Buffer.from("\0some words"));
    socket.send(Buffer.from([255, 0]));
    const { channels, code } = await seen;
    expect(code).to.equal(1000);
    expect(channels.get(1)).to.equal("SOME WORDS");
    expect(channels.get(3)).to.include('"causes":[{"reason":"ExitCode","message":"7"}]');
  });

  it("v4: knows no such close: the byte 255 is a channel that nobody reads", async () => {
    const request = command({ stdin: true }, async ({ stdin, stdout }) => {
      for await (const bytes of stdin ?? []) {
        await stdout?.write(bytes);
        if (Buffer.from(bytes).includes(".")) break;
      }
      return 0;
    });
    const { socket, seen } = await client(request, ["v4.channel.k8s.io"]);
    socket.send(Buffer.from([255, 0]));
    socket.send(Buffer.from("\0on."));
    expect((await seen).channels.get(1)).to.equal("on.");
  });

  it("the base64 variant has a digit for the channel, and text", async () => {
    const request = command({ stdin: true }, async ({ stdin, stdout }) => {
      for await (const bytes of stdin ?? []) {
        await stdout?.write(bytes);
        break;
      }
      return 0;
    });
    const { socket, seen } = await client(request, ["v4.base64.channel.k8s.io"]);
    socket.send(`0${Buffer.from("\xff\0words", "latin1").toString("base64")}`);
    const { channels } = await seen;
    expect(channels.get(1)).to.equal("\xff\0words");
    expect(channels.get(3)).to.equal('{"status":"Success"}');
  });

  it("a frame along with the request is the command's; a broken one ends its own connection", async () => {
    const request = (url: string): string =>
      `GET ${new URL(url).pathname} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n" +
      "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n";
    for (const [frames, answer] of [
      ["\x82\x83\0\0\0\0\0on\x82\x82\0\0\0\0\xff\0", "\x82\x03\x01ON"],
      ["\xb2\x80\0\0\0\0", "HTTP/1.1 101"],
    ] as const) {
      const url = server.offer(upperCase);
      const socket = await rawConnect(url);
      let seen = "";
      socket.setEncoding("latin1").on("data", (part: string) => {
        seen += part;
        if (seen.includes("\x88")) socket.end();
      });
      socket.write(Buffer.from(request(url) + frames, "latin1"));
      await once(socket, "close");
      expect(seen).to.include(answer);
    }
  });

  it("a connection on which nothing moves is closed, and its command with it", async () => {
    await server.close();
    server = await testServer(1000);
    const ended = new Promise<void>((resolve) => {
      const request = command({}, async (_, signal) => {
        await aborted(signal);
        resolve();
        return 0;
      });
      void client(request, ["v5.channel.k8s.io"]).then(async ({ seen }) => {
        expect((await seen).code).to.equal(1006);
      });
    });
    await ended;
  });

  it("a client that sends faster than the command reads is slowed", async function () {
    this.timeout(20_000);
    let read: () => void = () => undefined;
    const mayRead = new Promise<void>((resolve) => (read = resolve));
    let length = 0;
    const request = command({ stdin: true }, async ({ stdin }) => {
      await mayRead;
      for await (const bytes of stdin ?? []) length += bytes.length;
      return 0;
    });
    const { socket, seen } = await client(request, ["v5.channel.k8s.io"]);
    const count = 1024;
    let left = 0;
    for (let index = 0; index < count; index += 1) {
      socket.send(Buffer.alloc(32 * 1024 + 1), () => {
        left += 1;
      });
    }
    socket.send(Buffer.from([255, 0]));
    let last = -1;
    while (last !== left) {
      last = left;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    // What lies in the kernel's buffers beside ours is some megabytes.
    expect(left).to.be.lessThan(count * 0.6);
    read();
    await seen;
    expect(length).to.equal(count * 32 * 1024);
  });
});
