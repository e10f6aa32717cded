import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect } from "chai";
import { Cleanup } from "../../../src/base/cleanup.js";
import { RuntimeError } from "../../../src/base/errors.js";
import { createLogger } from "../../../src/base/log.js";
import { anyOf } from "../../../src/base/signals.js";
import { orAborted } from "../../../src/base/or-aborted.js";
import { sleep, stage } from "../../../src/base/stage.js";

const never = AbortSignal.any([]);

async function thrownBy(action: () => Promise<unknown>): Promise<RuntimeError> {
  try {
    await action();
  } catch (thrown) {
    if (thrown instanceof RuntimeError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
}

describe("a stage", () => {
  it("names itself and its limit when the limit passes", async () => {
    const thrown = await thrownBy(() => stage("wait for agent", 5, never, (signal) => sleep(10_000, signal)));
    expect(thrown.code).to.equal("deadlineExceeded");
    expect(thrown.message).to.equal("wait for agent: no result in 5 ms");
  });

  it("tells a caller who has gone from a limit that has passed", async () => {
    const caller = new AbortController();
    const waiting = stage("pull", 10_000, caller.signal, (signal) => sleep(10_000, signal));
    caller.abort();
    expect((await thrownBy(() => waiting)).code).to.equal("canceled");
  });

  it("does not begin for a caller who has gone", async () => {
    let begun = false;
    await thrownBy(() =>
      stage("pull", 10, AbortSignal.abort(), () => {
        begun = true;
        return Promise.resolve();
      }),
    );
    expect(begun).to.equal(false);
  });

  it("keeps the code of what failed inside and puts its name before the message", async () => {
    const fail = () => Promise.reject(new RuntimeError("notFound", "no such image"));
    const thrown = await thrownBy(() => stage("find image", 1000, never, fail));
    expect([thrown.code, thrown.message]).to.deep.equal(["notFound", "find image: no such image"]);
  });
});

describe("orAborted", () => {
  it("gives way to the signal while the promise goes on", async () => {
    const caller = new AbortController();
    let finish: (value: string) => void = () => undefined;
    const work = new Promise<string>((resolve) => {
      finish = resolve;
    });
    const waiting = orAborted(work, caller.signal);
    caller.abort(new RuntimeError("canceled", "gone"));
    expect((await thrownBy(() => waiting)).message).to.equal("gone");
    finish("done");
    expect(await work).to.equal("done");
  });

  it("takes what the promise throws later, also when it does not wait at all", async () => {
    const fails = async (): Promise<never> => {
      await delay(1);
      throw new Error("late");
    };
    const caller = AbortSignal.abort(new RuntimeError("canceled", "gone"));
    const untaken: unknown[] = [];
    const note = (reason: unknown): void => void untaken.push(reason);
    process.on("unhandledRejection", note);
    try {
      expect((await thrownBy(() => orAborted(fails(), caller))).message).to.equal("gone");
      await delay(20);
    } finally {
      process.off("unhandledRejection", note);
    }
    expect(untaken).to.deep.equal([]);
  });
});

describe("the undo stack", () => {
  const silent = createLogger("error", { write: () => undefined });

  it("undoes newest first and goes on after a step that fails", async () => {
    const undone: string[] = [];
    const step = (name: string, fails = false) => {
      return () => {
        undone.push(name);
        return fails ? Promise.reject(new Error("no")) : Promise.resolve();
      };
    };
    {
      await using undo = new Cleanup(silent, 1000);
      undo.add("first", step("first"));
      undo.add("second", step("second", true));
      undo.add("third", step("third"));
    }
    expect(undone).to.deep.equal(["third", "second", "first"]);
  });

  it("undoes nothing once it is released", async () => {
    const undone: string[] = [];
    {
      await using undo = new Cleanup(silent, 1000);
      undo.add("first", () => Promise.resolve(undone.push("first")));
      undo.release();
    }
    expect(undone).to.deep.equal([]);
  });
});

describe("any of several signals", () => {
  it("aborts after the time of one that nobody else holds, whatever the garbage collector does", async () => {
    setFlagsFromString("--expose-gc");
    const caller = new AbortController();
    const any = anyOf(caller.signal, anyOf(AbortSignal.timeout(50)));
    const waiting = sleep(2_000, any);
    await new Promise(setImmediate);
    runInNewContext("gc()");
    const thrown = await waiting.catch((reason: unknown) => reason);
    expect(thrown).to.have.property("name", "AbortError");
  });

  it("aborts with the reason of the one that was aborted", () => {
    const caller = new AbortController();
    const any = anyOf(caller.signal, AbortSignal.timeout(10_000));
    caller.abort(new Error("the reason"));
    expect(any.reason).to.have.property("message", "the reason");
  });
});
