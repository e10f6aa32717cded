import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { Cleanup } from "../../../src/base/cleanup.js";
import { codeOf, messageOf, RuntimeError } from "../../../src/base/errors.js";
import { Hold, lateStepsNow, onItsOwn, tellLateSteps, under, type LateStep } from "../../../src/base/hold.js";
import { Limiter } from "../../../src/base/limiter.js";
import { createLogger } from "../../../src/base/log.js";
import { untilAborted } from "../../../src/base/or-aborted.js";
import { SharedWork } from "../../../src/base/shared-work.js";
import { neverAborted } from "../../../src/base/signals.js";
import { stage } from "../../../src/base/stage.js";

/** A step that no signal ends: a system call on a file system that is dead. */
class Stuck<T = void> {
  settle: (value: T) => void = () => undefined;
  fail: (why: Error) => void = () => undefined;
  readonly #end = new Promise<T>((resolve, reject) => {
    this.settle = resolve;
    this.fail = reject;
  });

  readonly run = (): Promise<T> => this.#end;
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "it did not fail",
    (thrown: unknown) => `${codeOf(thrown)} ${messageOf(thrown)}`,
  );
}

/** What the waits in these tests may take: they end at once, or never. */
function soon<T>(work: Promise<T>): Promise<T> {
  return Promise.race([
    work,
    delay(1_500).then(() => {
      throw new Error("it goes on");
    }),
  ]);
}

const silent = createLogger("error", { write: () => undefined });

describe("a stage whose step does not end by its signal", () => {
  const told: LateStep[] = [];
  beforeEach(() => {
    told.length = 0;
    tellLateSteps((late) => told.push(late));
  });
  afterEach(() => {
    tellLateSteps(() => undefined);
  });

  it("answers at its limit plus less than a second, and at its caller's", async () => {
    const stuck = new Stuck();
    const caller = new AbortController();
    const left = failureOf(stage("mount volume", 60_000, caller.signal, stuck.run));
    caller.abort();
    const beganMs = performance.now();
    expect(await soon(failureOf(stage("mount volume", 20, neverAborted, stuck.run)))).to.match(
      /^deadlineExceeded mount volume: no result in 20 ms; it does not end/,
    );
    expect(await soon(left)).to.match(/^canceled mount volume: the caller gave up; it does not end/);
    expect(performance.now() - beganMs).to.be.lessThan(1_000);
    stuck.settle();
  });

  it("is named when it is given up, and again when it has settled, with how long it took", async () => {
    const stuck = new Stuck();
    await failureOf(stage("mount volume", 5, neverAborted, stuck.run));
    expect(told.map(({ name, outcome }) => [name, outcome])).to.deep.equal([["mount volume", "given up"]]);
    expect(lateStepsNow()).to.deep.equal(["mount volume since 1 s"]);
    stuck.fail(new Error("not reachable"));
    await delay(1);
    expect(told[1]).to.include({ name: "mount volume", outcome: "failed", err: "not reachable" });
    expect(told[1]?.ms).to.be.greaterThan(500);
    expect(lateStepsNow()).to.deep.equal([]);
  });

  it("has its late result taken back", async () => {
    const stuck = new Stuck<string>();
    const back: string[] = [];
    const takeBack = (late: string): Promise<unknown> => Promise.resolve(back.push(late));
    await failureOf(stage("mount volume", 5, neverAborted, stuck.run, takeBack));
    stuck.settle("the mount");
    await delay(1);
    expect(back).to.deep.equal(["the mount"]);
  });

  it("names the innermost of several, each of which would have to end", async () => {
    const stuck = new Stuck();
    const inner = (signal: AbortSignal): Promise<void> => stage("inner", 60_000, signal, stuck.run);
    const outer = (signal: AbortSignal): Promise<void> => stage("outer", 60_000, signal, inner);
    await failureOf(stage("whole", 5, neverAborted, outer));
    expect(told.map(({ name }) => name)).to.deep.equal(["inner"]);
    stuck.settle();
  });

  it("is no given-up step when it ends soon after its signal, whatever it answers", async () => {
    const slow = async (): Promise<string> => {
      await delay(100);
      return "made";
    };
    expect(await stage("kill plugin", 5, neverAborted, slow)).to.equal("made");
    expect(told).to.deep.equal([]);
  });
});

describe("a key that a given-up step holds", () => {
  it("is refused with what it is busy with, and free when that has settled", async () => {
    const locks = new Limiter<string>({ perKey: 1 });
    const stuck = new Stuck();
    const first = locks.run("pod", neverAborted, () => stage("mount volume", 5, neverAborted, stuck.run));
    const queued = failureOf(locks.run("pod", neverAborted, () => Promise.resolve()));
    await failureOf(first);
    const busy = /^unavailable still busy with: mount volume since \d+ s/;
    expect(await soon(queued)).to.match(busy);
    expect(await soon(failureOf(locks.run("pod", neverAborted, () => Promise.resolve())))).to.match(busy);
    const patient = locks.runWhenFree("pod", neverAborted, () => Promise.resolve("recorded"));
    expect(await locks.run("other", neverAborted, () => Promise.resolve("through"))).to.equal("through");
    stuck.settle();
    expect(await soon(patient)).to.equal("recorded");
    expect(await soon(locks.run("pod", neverAborted, () => Promise.resolve("free")))).to.equal("free");
  });

  it("is refused also while the one who has it is itself what was given up", async () => {
    const locks = new Limiter<string>({ perKey: 1 });
    const stuck = new Stuck();
    await failureOf(stage("share mount", 5, neverAborted, () => locks.run("box", neverAborted, stuck.run)));
    expect(await soon(failureOf(locks.run("box", neverAborted, () => Promise.resolve())))).to.match(
      /^unavailable still busy with: share mount since/,
    );
    stuck.settle();
    await delay(1);
    expect(await soon(locks.run("box", neverAborted, () => Promise.resolve("free")))).to.equal("free");
  });

  it("starts no second creation", async () => {
    const jobs = new SharedWork<string, string>({ outlivesCallers: true });
    const stuck = new Stuck<string>();
    let starts = 0;
    const start = (): Promise<string> => {
      starts += 1;
      return stage("boot box", 5, neverAborted, stuck.run);
    };
    expect(await soon(failureOf(jobs.run("pod", neverAborted, start)))).to.match(/^deadlineExceeded boot box/);
    expect(jobs.has("pod")).to.equal(true);
    expect(await soon(failureOf(jobs.run("pod", neverAborted, start)))).to.match(
      /^unavailable still busy with: boot box since/,
    );
    expect(starts).to.equal(1);
    stuck.fail(new Error("gone"));
    await soon(jobs.idle());
    expect(jobs.has("pod")).to.equal(false);
    const again = jobs.run("pod", neverAborted, () => Promise.resolve("made"));
    expect(await again).to.equal("made");
  });
});

describe("an undo stack beside a given-up step", () => {
  it("lets its caller go, and undoes again what comes late before the key is free", async () => {
    const stuck = new Stuck();
    const hold = new Hold();
    const made = new Set<string>();
    const undone: string[] = [];
    const build = async (): Promise<void> => {
      await using undo = new Cleanup(silent, 1_000);
      undo.add("directory", () => {
        undone.push([...made].join());
        made.clear();
        return Promise.resolve();
      });
      made.add("directory");
      await stage("mount", 5, neverAborted, async () => {
        await stuck.run();
        made.add("late mount");
      });
    };
    expect(await soon(failureOf(under(hold, build)))).to.match(/^deadlineExceeded mount/);
    expect(hold.isFree).to.equal(false);
    stuck.settle();
    await soon(hold.freed());
    expect([...made]).to.deep.equal([]);
    expect(undone.join(";")).to.match(/late mount/);
  });

  it("undoes in the caller's time when nothing was given up", async () => {
    const undone: string[] = [];
    const build = async (): Promise<void> => {
      await using undo = new Cleanup(silent, 1_000);
      undo.add("directory", () => Promise.resolve(undone.push("directory")));
      throw new RuntimeError("internal", "no");
    };
    expect(await failureOf(under(new Hold(), build))).to.equal("internal no");
    expect(undone).to.deep.equal(["directory"]);
  });
});

describe("a limiter of one a key", () => {
  it("lets a waiter leave the line, whose turn does not come then", async () => {
    const locks = new Limiter<string>({ perKey: 1 });
    const [first, gone] = [new Stuck(), new AbortController()];
    const events: string[] = [];
    const enter = (name: string, signal = neverAborted): Promise<void> =>
      locks.run("key", signal, () => Promise.resolve(void events.push(name)));
    const holding = locks.run("key", neverAborted, first.run);
    const waiting = failureOf(enter("gone", gone.signal));
    const next = enter("next");
    gone.abort(new RuntimeError("deadlineExceeded", "no result in 5 ms"));
    expect(await soon(waiting)).to.match(/^deadlineExceeded no result in 5 ms; waited for another call/);
    first.settle();
    await Promise.all([holding, next]);
    expect(events).to.deep.equal(["next"]);
    expect(await failureOf(enter("late", gone.signal))).to.match(/^deadlineExceeded/);
  });

  it("has work give way as soon as somebody else wants the key", async () => {
    const locks = new Limiter<string>({ perKey: 1 });
    let given = false;
    const check = locks.runUntilWanted("pod", neverAborted, async (wanted) => {
      await untilAborted(wanted).catch(() => undefined);
      given = true;
    });
    await soon(locks.run("pod", neverAborted, () => Promise.resolve(expect(given).to.equal(true))));
    await check;
  });
});

describe("work that is nobody's in particular", () => {
  it("is not held by who began it", async () => {
    const [hold, stuck] = [new Hold(), new Stuck()];
    const asked = under(hold, () => onItsOwn(() => stage("ask", 5, neverAborted, stuck.run)));
    await failureOf(asked);
    expect(hold.isFree).to.equal(true);
    stuck.settle();
  });
});
