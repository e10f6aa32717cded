/** Bytes of a client on a real connection against the whole streaming server. */
import { expect } from "chai";
import * as frames from "../../../../src/streaming/spdy/frames.js";
import { HeaderReader, HeaderWriter } from "../../../../src/streaming/spdy/headers.js";
import { readFrames } from "../../../../src/streaming/spdy/read-frames.js";
import { fuzz } from "../../../support/fuzzing/run.js";
import { StreamingBed } from "./bed.js";

const spdyRequest = (protocol: string): string =>
  "POST PATH HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" +
  `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`;
const webSocketRequest = (protocol: string): string =>
  "GET PATH HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
  `Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`;

describe("a damaged connection to the streaming server", () => {
  const bed = new StreamingBed();
  after(async () => {
    await bed.close();
  });

  it("is answered with HTTP and closed when its request is no upgrade", async function () {
    this.timeout(0);
    await fuzz({
      name: "streaming-requests",
      seeds: [spdyRequest("v4.channel.k8s.io"), webSocketRequest("v5.channel.k8s.io")],
      words: [
        "\r\n",
        ": ",
        "Upgrade: websocket\r\n",
        "channel.k8s.io",
        "?a=%00",
        "Content-Length: 5\r\n",
        "HTTP/1.0",
        "__proto__",
      ],
      tried: async (input) => {
        const answer = await bed.exchange(bed.command(), input, false);
        expect(answer.toString("latin1")).to.match(
          /^(HTTP\/1\.1 (101|400|403|404|405|408|413|414|417|426|431|501) |$)/,
        );
        return answer.includes("HTTP/1.1 101 ");
      },
    });
  });

  for (const [name, wanted] of [
    ["command", () => bed.command()],
    ["port", () => bed.forward()],
  ] as const) {
    it(`that speaks SPDY to a ${name} ends, leaves nothing, and hears nothing but SPDY`, async function () {
      this.timeout(0);
      const protocol = name === "port" ? "portforward.k8s.io" : "v4.channel.k8s.io";
      await fuzz({
        name: `spdy-${name}`,
        seeds: [await spdyClient(name === "port" ? portStreams : commandStreams)],
        words: ["\x80\x03\x00\x01", "\x80\x03\x00\x03", "\x80\x03\x00\x06", "\0\0\0\x01\0\0\0\0"],
        tried: async (input) => {
          const answer = await bed.exchange(wanted(), Buffer.concat([Buffer.from(spdyRequest(protocol)), input]), true);
          await expectSpdy(answer);
          return bed.served.started > 0;
        },
      });
    });

    it(`that speaks WebSocket to a ${name} ends, leaves nothing, and hears nothing but WebSocket`, async function () {
      this.timeout(0);
      const protocol = name === "port" ? "v4.channel.k8s.io" : "v5.channel.k8s.io";
      await fuzz({
        name: `websocket-${name}`,
        seeds: [Buffer.concat(webSocketMessages)],
        words: [
          "\x82\x80\0\0\0\0",
          "\x88\x82\0\0\0\0\x03\xe8",
          "\x82\xfe\0\0",
          "\x00\x80\0\0\0\0",
          '{"Width":1,"Height":2}',
        ],
        tried: async (input) => {
          const request = Buffer.from(webSocketRequest(protocol));
          expectWebSocket(await bed.exchange(wanted(), Buffer.concat([request, input]), true));
          const { bytes, sizes } = bed.served;
          expect(bytes).to.be.at.most(input.length);
          return bytes + sizes > 0;
        },
      });
    });
  }
});

const commandStreams = ["error", "stdin", "stdout", "resize"].map((streamtype) => ({ streamtype }));
const portStreams = ["error", "data"].map((streamtype) => ({ streamtype, port: "80", requestid: "0" }));

/** All that a client says in one short session. */
async function spdyClient(streams: readonly Readonly<Record<string, string>>[]): Promise<Buffer> {
  const writer = new HeaderWriter();
  const parts: Buffer[] = [];
  for (const [index, headers] of streams.entries()) {
    parts.push(frames.synStreamFrame(1 + 2 * index, false, await writer.write(new Map(Object.entries(headers)))));
  }
  writer.close();
  const said = [frames.dataFrame(3, false, Buffer.from("some words")), frames.pingFrame(7)];
  const size = frames.dataFrame(7, false, Buffer.from('{"Width":80,"Height":24}'));
  return Buffer.concat([...parts, ...said, size, frames.dataFrame(3, true, Buffer.alloc(0)), frames.resetFrame(1, 5)]);
}

/** Masked with zeros, as a client's must be masked. */
function message(opcode: number, payload: string): Buffer {
  const head = Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]);
  return Buffer.concat([head, Buffer.from(payload, "latin1")]);
}

const webSocketMessages = [
  message(2, "\0some words"),
  message(9, "ping"),
  message(2, '\x04{"Width":80,"Height":24}'),
  message(2, "\x01for nobody"),
  message(2, "\xff\0"),
];

function afterHeaders(answer: Buffer): Buffer {
  const end = answer.indexOf("\r\n\r\n");
  expect(answer.toString("latin1", 0, 12)).to.equal("HTTP/1.1 101");
  expect(end).to.be.greaterThan(0);
  return answer.subarray(end + 4);
}

/** Throws for what a client of ours could not read; the end may be in the middle of a frame. */
async function expectSpdy(answer: Buffer): Promise<void> {
  const reader = new HeaderReader();
  // eslint-disable-next-line @typescript-eslint/require-await -- as a socket's bytes come
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield afterHeaders(answer);
  };
  for await (const frame of readFrames(source())) {
    expect(frame.type).to.be.oneOf(["data", "synReply", "reset", "ping", "goAway"]);
    if (frame.type === "synReply") expect(await reader.read(frame.block)).to.deep.equal(new Map());
  }
  reader.close();
}

/** Whole messages of a server: not masked, not compressed, of a kind that there is (RFC 6455, 5.2). */
function expectWebSocket(answer: Buffer): void {
  for (let rest = afterHeaders(answer); rest.length > 1;) {
    const [first = 0, second = 0] = rest;
    expect(first & 0x80, "one message in one frame").to.equal(0x80);
    expect(first & 0x70, "an extension").to.equal(0);
    expect(first & 0x0f).to.be.oneOf([1, 2, 8, 9, 10]);
    expect(second & 0x80, "masked").to.equal(0);
    const longer = second === 126 ? 2 : second === 127 ? 8 : 0;
    if (rest.length < 2 + longer) return;
    const length = longer === 0 ? second : longer === 2 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
    rest = rest.subarray(2 + longer + length);
  }
}
