import { expect } from "chai";
import fc from "fast-check";
import type { OutputChunk } from "../../../../src/gen/agent/v1/agent.js";
import { Stream } from "../../../../src/gen/agent/v1/agent.js";
import { LogLines } from "../../../../src/runtime/logs/log-lines.js";
import "../../../support/fuzz.js";

const base = 1_700_000_000_000_000_000n;

function chunk(sequence: number, data: Uint8Array | string, stream: Stream = Stream.STDOUT): OutputChunk {
  const timeNs = base + BigInt(sequence) * 65_536n;
  return { sequence: BigInt(sequence), stream, timeNs, data: Buffer.from(data), end: false };
}

function endChunk(sequence: number): OutputChunk {
  return { ...chunk(sequence, ""), stream: Stream.UNSPECIFIED, end: true };
}

interface Line {
  readonly stamp: string;
  readonly stream: string;
  readonly tag: string;
  readonly content: string;
}

function parse(log: Buffer): Line[] {
  const text = log.toString("latin1");
  if (text === "") return [];
  expect(text.endsWith("\n")).to.equal(true);
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => {
      const parts = /^(\S+) (stdout|stderr) ([PF]) ([^]*)$/.exec(line);
      return {
        stamp: parts?.[1] ?? "?",
        stream: parts?.[2] ?? "?",
        tag: parts?.[3] ?? "?",
        content: parts?.[4] ?? "?",
      };
    });
}

function run(chunks: readonly OutputChunk[], skipUpToNs = 0n): { log: Buffer; acknowledged: bigint } {
  const lines = new LogLines(skipUpToNs);
  let acknowledged = 0n;
  const log = Buffer.concat(
    chunks.map((one) => {
      const batch = lines.push(one);
      acknowledged = batch.acknowledge ?? acknowledged;
      return batch.bytes;
    }),
  );
  return { log, acknowledged };
}

/** Cuts bytes at the given places. */
function cut(data: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [...new Set(places.map((place) => place % (data.length + 1)))].sort((a, b) => a - b);
  return [0, ...sorted].map((from, index) => data.subarray(from, sorted[index] ?? data.length));
}

/** Bytes with many line ends and some lines around the limit. */
const output = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.uint8Array({ maxLength: 40 }) },
      { weight: 3, arbitrary: fc.constantFrom(Buffer.from("\n"), Buffer.from("\r\n"), Buffer.from("\n\n")) },
      { weight: 1, arbitrary: fc.integer({ min: 16_380, max: 16_390 }).map((size) => Buffer.alloc(size, "x")) },
      { weight: 1, arbitrary: fc.constant(Buffer.alloc(33_000, "y")) },
    ),
    { maxLength: 12 },
  )
  .map((parts) => Buffer.concat(parts));

describe("container log lines", () => {
  it("give each line with time, stream and tag", () => {
    const { log } = run([chunk(1, "one\ntwo\n"), chunk(2, "bad\n", Stream.STDERR), endChunk(3)]);
    expect(log.toString()).to.equal(
      "2023-11-14T22:13:20.000065536Z stdout F one\n" +
        "2023-11-14T22:13:20.000065537Z stdout F two\n" +
        "2023-11-14T22:13:20.000131072Z stderr F bad\n",
    );
  });

  it("keep an empty line", () => {
    expect(parse(run([chunk(1, "\n")]).log)[0]).to.deep.equal({
      stamp: "2023-11-14T22:13:20.000065536Z",
      stream: "stdout",
      tag: "F",
      content: "",
    });
  });

  it("mark an end without line feed as partial", () => {
    const lines = parse(run([chunk(1, "hi"), endChunk(2)]).log);
    expect(lines.map(({ tag, content }) => [tag, content])).to.deep.equal([["P", "hi"]]);
  });

  it("drop one carriage return before the line feed and keep all others", () => {
    const lines = parse(run([chunk(1, "a\rb\r\r\n")]).log);
    expect(lines.map(({ content }) => content)).to.deep.equal(["a\rb\r"]);
  });

  it("split at 16 KiB, and not when the line ends right there", () => {
    const exact = parse(run([chunk(1, `${"x".repeat(16_384)}\n`)]).log);
    expect(exact.map(({ tag, content }) => [tag, content.length])).to.deep.equal([["F", 16_384]]);
    const longer = parse(run([chunk(1, `${"x".repeat(16_385)}\n`)]).log);
    expect(longer.map(({ tag, content }) => [tag, content.length])).to.deep.equal([
      ["P", 16_384],
      ["F", 1],
    ]);
  });

  it("are the same however the bytes were cut into chunks", () => {
    fc.assert(
      fc.property(output, fc.array(fc.nat(), { maxLength: 8 }), (data, places) => {
        const whole = run([chunk(1, data), endChunk(2)]);
        const parts = cut(data, places).map((part, index) => chunk(index + 1, part));
        const pieces = run([...parts, endChunk(parts.length + 1)]);
        const contentOf = (log: Buffer): string[][] => parse(log).map(({ tag, content }) => [tag, content]);
        expect(contentOf(pieces.log)).to.deep.equal(contentOf(whole.log));
        const bytes = contentOf(whole.log).map(([tag, content]) => `${content ?? ""}${tag === "F" ? "\n" : ""}`);
        expect(bytes.join("").replaceAll("\r", "")).to.equal(data.toString("latin1").replaceAll("\r", ""));
      }),
      { numRuns: 60 },
    );
  });

  it("neither repeat nor lose a line when the daemon dies and chunks come again", () => {
    fc.assert(
      fc.property(output, output, fc.array(fc.nat(), { maxLength: 8 }), fc.nat(), (out, err, places, dieAt) => {
        const halves = [
          ...cut(out, places).map((data) => ({ data, stream: Stream.STDOUT })),
          ...cut(err, places).map((data) => ({ data, stream: Stream.STDERR })),
        ].sort((a, b) => a.data.length - b.data.length);
        const chunks = [
          ...halves.map(({ data, stream }, index) => chunk(index + 1, data, stream)),
          endChunk(halves.length + 1),
        ];
        const before = run(chunks.slice(0, dieAt % chunks.length));
        const written = parse(before.log);
        const lastStamp = written.at(-1)?.stamp;
        const lastNs = lastStamp === undefined ? 0n : base + BigInt(Number(lastStamp.slice(-10, -1)));
        const after = run(
          chunks.filter(({ sequence }) => sequence > before.acknowledged),
          lastNs,
        );
        expect(Buffer.concat([before.log, after.log]).equals(run(chunks).log)).to.equal(true);
      }),
      { numRuns: 100 },
    );
  });

  it("are whole however long no line ends with a chunk, and chunks are forgotten all the same", () => {
    const lines = new LogLines(0n);
    const size = 1000;
    const text = Buffer.from(Array.from({ length: 100_000 }, (_, index) => `${index}\n`).join(""));
    let last = 0;
    for (let at = 0; at < text.length; at += size) {
      // no chunk but the last ends with a line
      const data = text.subarray(at, at + size);
      if (data.at(-1) === 0x0a && at + size < text.length) data[data.length - 1] = 0x78;
      const batch = lines.push(chunk(at / size + 1, data));
      expect(parse(batch.bytes).filter(({ tag }) => tag !== "F")).to.deep.equal([]);
      if (batch.acknowledge !== undefined) last = Number(batch.acknowledge);
      expect(at / size + 1 - last).to.be.at.most(2);
    }
  });

  it("let chunks be forgotten although one stream waits for the end of its line", () => {
    const lines = new LogLines(0n);
    lines.push(chunk(1, "prompt> ", Stream.STDOUT));
    let acknowledged: bigint | undefined;
    for (let sequence = 2; sequence < 40; sequence += 1) {
      const batch = lines.push(chunk(sequence, `${"e".repeat(10_000)}\n`, Stream.STDERR));
      acknowledged = batch.acknowledge ?? acknowledged;
    }
    expect(acknowledged).to.not.equal(undefined);
  });

  it("rise in time when the guest's clock does not", () => {
    const back = { ...chunk(2, "later\n"), timeNs: base - 5n };
    const stamps = parse(run([chunk(1, "first\n"), back]).log).map(({ stamp }) => stamp);
    expect(stamps).to.deep.equal(["2023-11-14T22:13:20.000065536Z", "2023-11-14T22:13:20.000065537Z"]);
  });

  it("stay readable when the guest's clock is absurd", () => {
    const absurd = [-1n, 1n << 62n].map((timeNs, index) => ({ ...chunk(index + 1, "x\n"), timeNs }));
    for (const { stamp } of parse(run(absurd).log)) expect(stamp).to.match(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}Z$/);
  });
});
