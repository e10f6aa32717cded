import { expect } from "chai";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SlicedSocket } from "../../../../src/vmm/agent/sliced-socket.js";
import { eventually, limit } from "../../../support/wait.js";

const kib = 1024;

interface Ends {
  readonly near: Socket;
  readonly far: Socket;
}

async function withEnds(use: (ends: Ends) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "sliced-"));
  const server = createServer({ allowHalfOpen: true });
  try {
    const path = join(directory, "socket");
    server.listen(path);
    await once(server, "listening");
    const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
    const near = connect(path);
    near.pause();
    const far = await accepted;
    try {
      await use({ near, far });
    } finally {
      near.destroy();
      far.destroy();
    }
  } finally {
    server.close();
    await rm(directory, { recursive: true });
  }
}

function patterned(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, at) => (at * 7 + (at >> 8)) & 0xff));
}

/** What hands on is told nothing of it but the time that has passed. */
function busyFor(ms: number): void {
  const endsMs = performance.now() + ms;
  while (performance.now() < endsMs);
}

describe("a connection that is read in slices", function () {
  this.timeout(limit(20_000));

  it("hands on all that comes, in order, and no more than a slice in a turn of the loop where one costs a turn", async () => {
    await withEnds(async ({ near, far }) => {
      const first = Buffer.from("put back");
      const sent = patterned(600 * kib);
      near.unshift(first);
      far.end(sent);
      const sliced = new SlicedSocket(near);
      const got: Buffer[] = [];
      let inTurn = 0;
      let most = 0;
      sliced.on("data", (chunk: Buffer) => {
        got.push(chunk);
        busyFor(3);
        if (inTurn === 0) setImmediate(() => (inTurn = 0));
        inTurn += chunk.length;
        most = Math.max(most, inTurn);
      });
      await once(sliced, "end");
      expect(Buffer.concat(got).equals(Buffer.concat([first, sent]))).to.equal(true);
      expect(most).to.be.at.most(32 * kib);
    });
  });

  it("hands on many slices in a turn where they cost nothing", async () => {
    await withEnds(async ({ near, far }) => {
      const sent = patterned(2048 * kib);
      far.end(sent);
      const sliced = new SlicedSocket(near);
      const got: Buffer[] = [];
      let turns = 0;
      let isCounted = false;
      sliced.on("data", (chunk: Buffer) => {
        got.push(chunk);
        if (isCounted) return;
        isCounted = true;
        turns += 1;
        setImmediate(() => (isCounted = false));
      });
      await once(sliced, "end");
      expect(Buffer.concat(got).equals(sent)).to.equal(true);
      expect(turns).to.be.below(2048 / 16 / 2);
    });
  });

  it("reads nothing while nobody wants it", async () => {
    await withEnds(async ({ near, far }) => {
      const sliced = new SlicedSocket(near);
      sliced.pause();
      let isFull = false;
      const fill = (): void => {
        while (far.write(patterned(64 * kib)));
        isFull = true;
      };
      far.on("drain", fill);
      fill();
      await eventually("the far end is held", 5000, () => (isFull && far.writableLength > 0 ? true : undefined));
      expect(near.readableLength + sliced.readableLength).to.be.at.most(256 * kib);
    });
  });

  it("writes what is written, in order, and ends when it has been written", async () => {
    await withEnds(async ({ near, far }) => {
      const sliced = new SlicedSocket(near);
      const got: Buffer[] = [];
      far.on("data", (chunk: Buffer) => got.push(chunk));
      const parts = [patterned(10), patterned(100 * kib), patterned(3)];
      sliced.cork();
      for (const part of parts) sliced.write(part);
      sliced.uncork();
      sliced.end("the last");
      await once(far, "end");
      expect(Buffer.concat(got).equals(Buffer.concat([...parts, Buffer.from("the last")]))).to.equal(true);
    });
  });

  it("is gone with the socket below it, and that with it", async () => {
    await withEnds(async ({ near, far }) => {
      const sliced = new SlicedSocket(near);
      near.destroy();
      await once(sliced, "close");
      expect(far.destroyed).to.equal(false);
    });
    await withEnds(async ({ near, far }) => {
      const sliced = new SlicedSocket(near);
      far.resume();
      const over = once(far, "end");
      sliced.destroy();
      await once(sliced, "close");
      await over;
      expect(near.destroyed).to.equal(true);
    });
  });

  it("fails as the socket below it has failed", async () => {
    await withEnds(async ({ near }) => {
      const sliced = new SlicedSocket(near);
      const failed = once(sliced, "error");
      near.destroy(new Error("the line is cut"));
      expect(await failed).to.have.nested.property("[0].message", "the line is cut");
    });
  });
});
