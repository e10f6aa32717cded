import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { RuntimeError } from "../../../src/base/errors.js";
import { SharedWork } from "../../../src/base/shared-work.js";
import { neverAborted } from "../../../src/base/signals.js";

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => {
      reject(new RuntimeError("canceled", "ended"));
    });
  });
}

/** Work that the test ends, and what has become of it. */
function work<T>() {
  const seen = { begun: 0, aborted: false, finish: (_value: T): void => undefined };
  const start = (signal: AbortSignal): Promise<T> => {
    seen.begun += 1;
    signal.addEventListener("abort", () => (seen.aborted = true));
    return Promise.race([new Promise<T>((resolve) => (seen.finish = resolve)), whenAborted(signal)]);
  };
  return Object.assign(seen, { start });
}

async function failure(of: Promise<unknown>): Promise<string> {
  return await of.then(
    () => "it did not fail",
    (thrown: unknown) => (thrown instanceof RuntimeError ? `${thrown.code} ${thrown.message}` : String(thrown)),
  );
}

describe("shared work", () => {
  it("gives callers of one key one result of one run, and begins anew after the end", async () => {
    const shared = new SharedWork<string, number>();
    let runs = 0;
    const start = (): Promise<number> => Promise.resolve(++runs);
    const both = [shared.run("a", neverAborted, start), shared.run("a", neverAborted, start)];
    expect(await Promise.all(both)).to.deep.equal([1, 1]);
    expect(shared.has("a")).to.equal(false);
    expect(await shared.run("a", neverAborted, start)).to.equal(2);
  });

  it("goes on while one caller is left, who hears nothing of the others, and is aborted with the last", async () => {
    const shared = new SharedWork<string, string>();
    const [first, second] = [new AbortController(), new AbortController()];
    const done = work<string>();
    const [one, other] = [first, second].map(({ signal }) => failure(shared.run("a", signal, done.start)));
    first.abort(new RuntimeError("deadlineExceeded", "gone"));
    expect(await one).to.equal("deadlineExceeded gone");
    expect(done.aborted).to.equal(false);
    second.abort();
    expect(await other).to.equal("canceled the caller gave up");
    expect([done.begun, done.aborted]).to.deep.equal([1, true]);
  });

  it("does not begin for a caller who has gone", async () => {
    const done = work<string>();
    const shared = new SharedWork<string, string>({ outlivesCallers: true });
    expect(await failure(shared.run("a", AbortSignal.abort(), done.start))).to.match(/^canceled/);
    expect(done.begun).to.equal(0);
  });

  it("begins anew for a caller that joined what others gave up", async () => {
    const shared = new SharedWork<string, string>();
    let runs = 0;
    const start = (): Promise<string> => {
      runs += 1;
      return runs === 1 ? Promise.reject(new RuntimeError("canceled", "ended")) : Promise.resolve("done");
    };
    const first = failure(shared.run("a", neverAborted, start));
    const second = shared.run("a", neverAborted, start);
    expect(await first).to.equal("canceled ended");
    expect(await second).to.equal("done");
  });

  it("is begun anew only when what others gave up has ended, however it ends", async () => {
    const shared = new SharedWork<string, string>();
    const first = new AbortController();
    const events: string[] = [];
    let end = (): void => undefined;
    const ends = new Promise<void>((resolve) => (end = resolve));
    const gaveUp = failure(
      shared.run("a", first.signal, async (signal) => {
        await whenAborted(signal).catch(() => events.push("aborted"));
        await ends;
        events.push("ended");
        throw new Error("the connection was closed");
      }),
    );
    first.abort();
    await turn();
    const second = shared.run("a", neverAborted, () => Promise.resolve(`begun after ${events.join(", ")}`));
    await turn();
    end();
    expect(await second).to.equal("begun after aborted, ended");
    expect(await gaveUp).to.match(/^canceled/);
  });

  it("ends at close, and none is begun for those who waited", async () => {
    const shared = new SharedWork<string, string>();
    const done = work<string>();
    const calls = [1, 2].map(() => failure(shared.run("a", neverAborted, done.start)));
    await shared.close("the store is being closed");
    expect(await calls[0]).to.equal("canceled ended");
    expect(await calls[1]).to.equal("canceled the store is being closed");
    expect(await failure(shared.run("b", neverAborted, done.start))).to.equal("canceled the store is being closed");
    expect(done.begun).to.equal(1);
  });

  describe("that outlives its callers", () => {
    it("goes on when all have left, for those who join later", async () => {
      const shared = new SharedWork<string, string>({ outlivesCallers: true });
      const [caller, done] = [new AbortController(), work<string>()];
      const first = failure(shared.run("k", caller.signal, done.start));
      caller.abort(new RuntimeError("canceled", "gone"));
      expect(await first).to.equal("canceled gone");
      const second = shared.run("k", neverAborted, () => Promise.reject(new Error("must not start again")));
      done.finish("made");
      expect([await second, done.aborted]).to.deep.equal(["made", false]);
    });

    it("is not begun anew by who joined it, however it fails", async () => {
      const shared = new SharedWork<string, string>({ outlivesCallers: true });
      const start = (): Promise<string> => Promise.reject(new RuntimeError("canceled", "the daemon is stopping"));
      const calls = [1, 2].map(() => failure(shared.run("k", neverAborted, start)));
      expect(await Promise.all(calls)).to.deep.equal(Array(2).fill("canceled the daemon is stopping"));
    });
  });

  describe("whose results are kept", () => {
    it("is done once, also when the one who asked first has left", async () => {
      const shared = new SharedWork<object, string>({ results: new WeakMap() });
      const [box, first, done] = [{}, new AbortController(), work<string>()];
      const left = failure(shared.run(box, first.signal, done.start));
      const stays = shared.run(box, neverAborted, done.start);
      first.abort(new RuntimeError("canceled", "gone"));
      expect(await left).to.equal("canceled gone");
      done.finish("has 2 MiB pages");
      const results = [await stays, await shared.run(box, neverAborted, done.start), done.begun];
      expect(results).to.deep.equal(["has 2 MiB pages", "has 2 MiB pages", 1]);
    });

    it("is done again after a failure, and keeps what is false", async () => {
      const shared = new SharedWork<string, boolean>({ results: new Map() });
      let tries = 0;
      const start = (): Promise<boolean> => {
        tries += 1;
        return tries === 1 ? Promise.reject(new RuntimeError("unavailable", "no answer")) : Promise.resolve(false);
      };
      expect(await failure(shared.run("a", neverAborted, start))).to.equal("unavailable no answer");
      expect(await shared.run("a", neverAborted, start)).to.equal(false);
      expect(await shared.run("a", neverAborted, start)).to.equal(false);
      expect(tries).to.equal(2);
    });
  });
});
