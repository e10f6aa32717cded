import "../../../../support/fuzz.js";
import { expect } from "chai";
import fc from "fast-check";
import { appendFile, mkdir, mkdtemp, readdir, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../../../../src/base/log.js";
import type { ProcessEvent } from "../../../../../src/sandboxes/core/process.js";
import { decodeFrames, encodeFrame, headerBytes } from "../../../../../src/sandboxes/core/processes/frame.js";
import { readOutput } from "../../../../../src/sandboxes/core/processes/read-output.js";
import { OutputRing } from "../../../../../src/sandboxes/core/processes/ring.js";

const log = createLogger("error");
const never = new AbortController().signal;
const mib = 1024 * 1024;

interface Read {
  readonly text: string;
  readonly lost: number;
  /** Of its first byte. */
  readonly from: number | undefined;
}

/** Everything from a place to the end of what is there. */
async function readAll(ring: OutputRing, from = 0, isOver = (): boolean => true): Promise<Read> {
  return await collect(readOutput(ring, from, isOver, never));
}

async function collect(events: AsyncIterable<ProcessEvent>): Promise<Read> {
  const parts: Buffer[] = [];
  let [lost, from, next]: (number | undefined)[] = [0];
  for await (const event of events) {
    if (event.kind === "lost") lost = (lost ?? 0) + event.bytes;
    if (event.kind !== "output") continue;
    from ??= event.offset;
    if (next !== undefined && event.offset < next) throw new Error("output came twice");
    next = event.offset + event.data.length;
    parts.push(Buffer.from(event.data));
  }
  return { text: Buffer.concat(parts).toString("latin1"), lost: lost ?? 0, from };
}

describe("the ring of a process's output", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-ring-"));
  });
  afterEach(async () => {
    for (const ring of rings.splice(0)) await ring.close();
    await rm(directory, { recursive: true, force: true });
  });

  const rings: OutputRing[] = [];
  const empty = (bytes = 16 * mib): OutputRing => {
    const ring = OutputRing.empty(directory, bytes, log);
    rings.push(ring);
    return ring;
  };
  const opened = async (bytes = 16 * mib): Promise<OutputRing> => {
    const ring = await OutputRing.open(directory, bytes, log);
    rings.push(ring);
    return ring;
  };
  const append = async (ring: OutputRing, text: string, stream: "stdout" | "stderr" = "stdout"): Promise<void> => {
    await ring.append(stream, ring.sequence + 1n, Buffer.from(text, "latin1"));
  };

  it("gives what was written to both streams, in order, to whoever comes later", async () => {
    const ring = empty();
    await append(ring, "one ");
    await append(ring, "two ", "stderr");
    await append(ring, "three");
    const streams: string[] = [];
    for await (const event of readOutput(ring, 0, () => true, never)) {
      if (event.kind === "output") streams.push(`${event.stream} ${event.offset}`);
    }
    expect(streams).to.deep.equal(["stdout 0", "stderr 4", "stdout 8"]);
    expect((await readAll(ring)).text).to.equal("one two three");
  });

  it("is taken up after the last whole chunk, whatever of the next a kill has let through", async () => {
    const ring = empty();
    for (const text of ["one ", "two "]) await append(ring, text);
    await ring.close();
    const file = join(directory, "output.1");
    const { size } = await stat(file);
    const next = encodeFrame({ stream: "stdout", sequence: 3n, offset: 8, data: Buffer.from("three") });
    for (const torn of [0, 1, headerBytes - 1, headerBytes, headerBytes + 1, next.length - 1]) {
      await truncate(file, size);
      await appendFile(file, next.subarray(0, torn));
      const again = await opened();
      expect([again.sequence, again.end]).to.deep.equal([2n, 8]);
      await append(again, "3");
      await again.close();
      expect(await readAll(await opened())).to.deep.equal({ text: "one two 3", lost: 0, from: 0 });
    }
  });

  it("does not take bytes that never were a frame for output", async () => {
    const ring = empty();
    await append(ring, "one");
    await ring.close();
    await appendFile(join(directory, "output.1"), Buffer.alloc(200, 0x41));
    expect(await readAll(await opened())).to.deep.equal({ text: "one", lost: 0, from: 0 });
    await writeFile(join(directory, "output.1"), Buffer.alloc(200));
    const broken = await opened();
    expect([broken.sequence, broken.end]).to.deep.equal([0n, 0]);
  });

  it("keeps most of its size and drops the oldest, which a reader is told of", async () => {
    const ring = empty(mib);
    const piece = "x".repeat(32 * 1024);
    for (let written = 0; written < 5 * mib; written += piece.length) await append(ring, piece);
    expect(ring.bytes).to.be.within(0.8 * mib, mib);
    const { text, lost, from } = await readAll(ring);
    expect(text.length).to.be.within(0.8 * mib, mib);
    expect(lost + text.length).to.equal(5 * mib);
    expect(from).to.equal(lost);
    expect((await readdir(directory)).length).to.be.within(6, 9);
    await ring.close();
    expect((await readAll(await opened(mib))).lost).to.equal(lost);
  });

  it("has eight megabytes whole in one of sixteen, before and after a restart", async () => {
    const ring = empty();
    const line = "0123456789abcde\n".repeat(2048);
    for (let written = 0; written < 8 * mib; written += line.length) await append(ring, line);
    expect(await readAll(ring)).to.deep.include({ lost: 0, from: 0 });
    await ring.close();
    expect((await readAll(await opened())).text).to.equal(line.repeat((8 * mib) / line.length));
  });

  it("begins at any byte", async () => {
    const ring = empty();
    for (const text of ["0123", "4567", "89"]) await append(ring, text);
    for (const from of [0, 1, 3, 4, 5, 9]) {
      expect(await readAll(ring, from)).to.deep.equal({ text: "0123456789".slice(from), lost: 0, from });
    }
    expect((await readAll(ring, 10)).text).to.equal("");
    expect((await readAll(ring, 1000)).text).to.equal("");
  });

  it("gives many readers what comes, each at its own speed, and waits for none", async () => {
    const ring = empty(mib);
    let isOver = false;
    const quick = [0, 1, 2].map(() => readAll(ring, 0, () => isOver));
    const slow = readOutput(ring, 0, () => isOver, never);
    await append(ring, "first");
    expect((await slow.next()).value).to.include({ kind: "output", offset: 0 });
    const piece = "y".repeat(32 * 1024);
    for (let count = 0; count < 64; count += 1) {
      await append(ring, piece);
      await new Promise(setImmediate); // the quick ones have their turn
    }
    isOver = true;
    ring.wake();
    for (const { text, lost } of await Promise.all(quick)) {
      expect(lost).to.equal(0);
      expect(text).to.equal("first" + piece.repeat(64));
    }
    // It has read five bytes; the ring has gone on.
    const rest = await collect(slow);
    expect(rest.lost).to.be.greaterThan(mib / 2);
    expect(5 + rest.lost + rest.text.length).to.equal(5 + 64 * piece.length);
  });

  it("ends a reader that waits with its signal, and leaves nothing of it behind", async () => {
    const ring = empty();
    const stop = new AbortController();
    const reading = collect(readOutput(ring, 0, () => false, stop.signal));
    await append(ring, "one");
    stop.abort();
    expect((await reading).text).to.be.oneOf(["one", ""]);
    expect(ring.waiting).to.equal(0);
  });

  it("counts what a disk does not take as lost, and goes on when it does again", async () => {
    await rm(directory, { recursive: true });
    const ring = empty();
    await append(ring, "gone ");
    expect([ring.sequence, ring.end]).to.deep.equal([1n, 5]);
    expect(await readAll(ring)).to.deep.equal({ text: "", lost: 5, from: undefined });
    await mkdir(directory);
    await append(ring, "kept");
    expect(await readAll(ring)).to.deep.equal({ text: "kept", lost: 5, from: 5 });
    await ring.close();
    expect(await readAll(await opened())).to.deep.equal({ text: "kept", lost: 5, from: 5 });
  });

  it("has all that was not dropped, once, however it was written, killed and read", async () => {
    const chunk = fc.record({ stream: fc.constantFrom("stdout", "stderr"), size: fc.integer({ min: 0, max: 32_768 }) });
    const step = fc.oneof({ weight: 6, arbitrary: chunk }, { weight: 1, arbitrary: fc.nat({ max: 100 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (steps, part) => {
          await rm(directory, { recursive: true, force: true });
          directory = await mkdtemp(join(tmpdir(), "a3s-ring-"));
          let ring = empty(512 * 1024);
          let whole = "";
          for (const one of steps) {
            if (typeof one === "number") {
              // A kill in the middle of a write.
              await ring.close();
              const newest = ring.segments.at(-1);
              const torn = encodeFrame({ stream: "stdout", sequence: 9n, offset: ring.end, data: Buffer.alloc(80) });
              if (newest !== undefined) await appendFile(newest.path, torn.subarray(0, one));
              ring = await opened(512 * 1024);
              continue;
            }
            const text = String.fromCharCode(97 + (whole.length % 26)).repeat(one.size);
            await ring.append(one.stream === "stdout" ? "stdout" : "stderr", ring.sequence + 1n, Buffer.from(text));
            whole += text;
          }
          await ring.close();
          const from = Math.floor(part * whole.length);
          const { text, lost, from: first } = await readAll(ring, from);
          expect(text).to.equal(whole.slice(from + lost));
          if (text !== "") expect(first).to.equal(from + lost);
          expect(ring.bytes).to.be.at.most(512 * 1024);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("reads frames of any bytes without taking more than there is", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const { frames, bytes: used } = decodeFrames(Buffer.from(bytes));
        const sum = frames.reduce((total, { data }) => total + headerBytes + data.length, 0);
        expect(used).to.equal(sum);
        expect(used).to.be.at.most(bytes.length);
      }),
    );
  });
});
