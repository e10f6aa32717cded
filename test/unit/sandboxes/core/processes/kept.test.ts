/** What is kept of processes, without a Box: records, numbers, and who goes first. */
import { expect } from "chai";
import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../../../../src/base/log.js";
import { RuntimeError } from "../../../../../src/base/errors.js";
import type { DetachedExecs } from "../../../../../src/runtime/exec/detached-execs.js";
import type { ProcessExit, ProcessWanted } from "../../../../../src/sandboxes/core/process.js";
import { checkedWanted } from "../../../../../src/sandboxes/core/processes/check-wanted.js";
import { KeptProcess } from "../../../../../src/sandboxes/core/processes/kept-process.js";
import { loadProcesses } from "../../../../../src/sandboxes/core/processes/load-processes.js";
import { SeenMark, writeFirstRecord } from "../../../../../src/sandboxes/core/processes/process-record.js";
import { SandboxProcesses } from "../../../../../src/sandboxes/core/processes/sandbox-processes.js";
import { whichToForget } from "../../../../../src/sandboxes/core/processes/which-to-forget.js";

const log = createLogger("error");
const soon = (): AbortSignal => AbortSignal.timeout(5_000);
const wanted: ProcessWanted = { args: ["x"], env: {}, workingDir: "", user: "", stdin: false, tag: "", limitMs: 0 };
const ringBytes = 1024;

describe("what is kept of a sandbox's processes", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-processes-"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  const own = (number: number): string => join(directory, String(number));
  const recordOf = (number: number, atMs?: number) => {
    const exit: ProcessExit | undefined =
      atMs === undefined ? undefined : { code: 0, signal: 0, atMs, timedOut: false };
    const base = { version: 1, number, execId: `kept-${number}`, wanted, startedAtMs: 1 } as const;
    return exit === undefined ? base : { ...base, exit };
  };
  /** Of an engine whose Box is gone. */
  const execs: DetachedExecs = {
    sessionId: "s",
    box: () => Promise.reject(new RuntimeError("failedPrecondition", "the Box is gone")),
    start: () => Promise.reject(new Error("nothing is started")),
  };

  it("is read again, with the exit; a record that a kill has torn is none", async () => {
    await writeFirstRecord(own(1), recordOf(1, 5));
    await writeFirstRecord(own(2), recordOf(2));
    await writeFirstRecord(own(3), recordOf(3));
    await truncate(join(own(3), "process.json"), 20);
    await mkdir(own(4));
    const { processes, highest } = await loadProcesses(directory, "s", ringBytes, log);
    expect(processes.map((process) => process.view().exit?.atMs)).to.deep.equal([5, undefined]);
    expect(highest).to.equal(4);
    expect((await readdir(directory)).sort()).to.deep.equal(["1", "2", "4"]);
  });

  it("ends those that ran in a Box that is gone, with the reason", async () => {
    await writeFirstRecord(own(1), recordOf(1));
    const store = await SandboxProcesses.open(directory, execs, log);
    await store.takeUp(soon());
    expect(store.get(1).exit).to.include({ code: 137, signal: 9, lost: "the Box is gone" });
    const again = await SandboxProcesses.open(directory, execs, log);
    expect(again.get(1).exit).to.deep.equal(store.get(1).exit);
  });

  it("never has a number twice, also when the newest was forgotten before the restart", async () => {
    for (const number of [1, 2]) await writeFirstRecord(own(number), recordOf(number, 5));
    const store = await SandboxProcesses.open(directory, execs, log);
    await store.forget(2, soon());
    await store.forget(1, soon());
    await store.forget(77, soon());
    expect(store.list()).to.be.empty;
    const { highest } = await loadProcesses(directory, "s", ringBytes, log);
    expect(highest).to.equal(2);
    expect(await readdir(directory)).to.deep.equal(["2"]);
  });

  it("goes with the sandbox", async () => {
    await writeFirstRecord(own(1), recordOf(1, 5));
    const store = await SandboxProcesses.open(directory, execs, log);
    await store.remove();
    await store.remove();
    expect(await readdir(directory).catch(() => "gone")).to.equal("gone");
  });

  it("leaves nothing of a start that has failed", async () => {
    const box = () => Promise.resolve({ exit: { atNs: 0n, reason: "gone" } } as never);
    const store = await SandboxProcesses.open(directory, { ...execs, box }, log);
    const failed = await store.start(wanted, soon()).catch((thrown: unknown) => thrown);
    expect(failed).to.be.instanceOf(Error);
    expect([store.list().length, await readdir(directory)]).to.deep.equal([0, []]);
  });

  it("is the newest sixty-four that have ended, and more for a minute; never fewer for who reads", () => {
    const nowMs = 1_000_000;
    const all = (count: number, atMs: (index: number) => number, bytes = 0): KeptProcess[] =>
      Array.from({ length: count }, (_, index) => {
        const keeping = { directory: own(index + 1), ringBytes, log };
        return KeptProcess.known(recordOf(index + 1, atMs(index)), "s", keeping, bytes);
      });
    const forgotten = (processes: KeptProcess[]): number[] =>
      whichToForget(processes, ringBytes, nowMs)
        .map(({ number }) => number)
        .sort((a, b) => a - b);
    expect(forgotten(all(64, () => 1))).to.be.empty;
    expect(forgotten(all(66, (index) => index))).to.deep.equal([1, 2]);
    expect(forgotten(all(500, () => nowMs - 1000))).to.be.empty;
    expect(forgotten(all(514, (index) => nowMs - 1000 + index))).to.deep.equal([1, 2]);
    // As much output as 64 full rings: the oldest go before their time.
    expect(forgotten(all(100, (index) => nowMs - 1000 + index, ringBytes))).to.have.length(36);
    const running = KeptProcess.known(recordOf(1), "s", { directory, ringBytes, log }, 0);
    expect(forgotten([...all(64, () => 1), running])).to.be.empty;
  });

  it("has the place that a connection came to, the newest alone, whatever a kill has left of it", async () => {
    await mkdir(own(1));
    const seen = SeenMark.none(own(1));
    for (let offset = 1; offset <= 1000; offset += 1) seen.set(offset);
    await seen.settled();
    expect((await SeenMark.read(own(1))).offset).to.equal(1000);
    await writeFile(join(own(1), "seen"), "abc");
    expect((await SeenMark.read(own(1))).offset).to.equal(0);
    expect((await SeenMark.read(own(2))).offset).to.equal(0);
  });

  it("is checked before anything is made of it", () => {
    const bad: Partial<ProcessWanted>[] = [
      { args: [] },
      { args: [""] },
      { tag: "x".repeat(257) },
      { limitMs: -1 },
      { limitMs: Number.NaN },
      { limitMs: Number.POSITIVE_INFINITY },
      { terminal: { columns: -1, rows: 1 } },
      { terminal: { columns: 1.5, rows: 1 } },
      { terminal: { columns: 1, rows: 70_000 } },
      { env: { A: "x".repeat(1024 * 1024) } },
    ];
    for (const over of bad) {
      expect(() => checkedWanted({ ...wanted, ...over }), JSON.stringify(over).slice(0, 80))
        .to.throw()
        .with.property("code", "invalidArgument");
    }
    expect(checkedWanted({ ...wanted, terminal: { columns: 0, rows: 65_535 } }).terminal).to.deep.equal({
      columns: 0,
      rows: 65_535,
    });
  });
});
