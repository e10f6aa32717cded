import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { neverAborted } from "../../../src/base/signals.js";
import { lockNote } from "../../../src/cli/root-lock.js";
import { isServedWithin } from "../../../src/cli/unserved.js";

describe("what waits for another daemon", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "a3s-unserved-"));
    await writeFile(lockNote(root), "41\n");
  });
  afterEach(async () => {
    await rm(root, { recursive: true });
  });

  it("waits in vain while the directory is that of the one that has stopped", async () => {
    const beganMs = performance.now();
    expect(await isServedWithin(root, 41, 300, neverAborted)).to.equal(false);
    expect(performance.now() - beganMs).to.be.within(290, 3_000);
  });

  it("sees the one that comes", async () => {
    const waiting = isServedWithin(root, 41, 30_000, neverAborted);
    await writeFile(lockNote(root), "42\n");
    expect(await waiting).to.equal(true);
  });

  it("ends when it is told to", async () => {
    const ending = new AbortController();
    const waiting = isServedWithin(root, 41, 30_000, ending.signal).catch((thrown: unknown) => thrown);
    ending.abort();
    expect(await waiting).to.be.instanceOf(Error);
  });
});
