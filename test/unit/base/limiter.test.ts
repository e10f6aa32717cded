import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { RuntimeError } from "../../../src/base/errors.js";
import { Hold, under } from "../../../src/base/hold.js";
import { Limiter } from "../../../src/base/limiter.js";
import { neverAborted } from "../../../src/base/signals.js";
import { stage } from "../../../src/base/stage.js";

/** Work with a key that ends when the test says so. */
function working<K>(limiter: Limiter<K>, key: K, signal = neverAborted) {
  const seen = { begun: false, end: (): void => undefined };
  const ended = new Promise<void>((resolve) => (seen.end = resolve));
  const done = limiter.run(key, signal, async () => {
    seen.begun = true;
    await ended;
  });
  done.catch(() => undefined);
  return Object.assign(seen, { done });
}

async function failure(of: Promise<unknown>): Promise<string> {
  return await of.then(
    () => "it did not fail",
    (thrown: unknown) => (thrown instanceof RuntimeError ? `${thrown.code} ${thrown.message}` : String(thrown)),
  );
}

async function begun(works: readonly { readonly begun: boolean }[]): Promise<boolean[]> {
  await turn();
  return works.map((one) => one.begun);
}

describe("a limiter", () => {
  it("of one a key lets one in at a time, in order, and others with other keys meanwhile", async () => {
    const limiter = new Limiter<string>({ perKey: 1 });
    const works = [working(limiter, "a"), working(limiter, "a"), working(limiter, "a"), working(limiter, "b")] as const;
    expect(await begun(works)).to.deep.equal([true, false, false, true]);
    works[0].end();
    expect(await begun(works)).to.deep.equal([true, true, false, true]);
    for (const one of works) one.end();
    await Promise.all(works.map(({ done }) => done));
  });

  it("of some in all gives each place on in the order of asking, also after a failure", async () => {
    const limiter = new Limiter<string>({ inAll: 2 });
    const failing = failure(limiter.run("a", neverAborted, () => Promise.reject(new Error("no guest"))));
    expect(await failing).to.equal("Error: no guest");
    const works = [1, 2, 3, 4].map(() => working(limiter, "a"));
    expect(await begun(works)).to.deep.equal([true, true, false, false]);
    expect(limiter.isFull).to.equal(true);
    works[1]?.end();
    expect(await begun(works)).to.deep.equal([true, true, true, false]);
    for (const one of works) one.end();
    await Promise.all(works.map(({ done }) => done));
    expect(limiter.isFull).to.equal(false);
  });

  it("has as many wait as like, without a word about listeners", async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on("warning", note);
    try {
      const limiter = new Limiter<string>({ inAll: 1 });
      await Promise.all(Array.from({ length: 50 }, () => limiter.run("a", neverAborted, () => turn())));
      await turn();
    } finally {
      process.off("warning", note);
    }
    expect(warnings).to.deep.equal([]);
  });

  it("of both counts both: a key that waits for itself keeps nobody else back", async () => {
    const limiter = new Limiter<number>({ perKey: 1, inAll: 2 });
    const works = [working(limiter, 1), working(limiter, 1), working(limiter, 2), working(limiter, 3)] as const;
    expect(await begun(works)).to.deep.equal([true, false, true, false]);
    works[2].end();
    expect(await begun(works)).to.deep.equal([true, false, true, true]);
    works[0].end();
    expect(await begun(works)).to.deep.equal([true, true, true, true]);
    for (const one of works) one.end();
    await Promise.all(works.map(({ done }) => done));
  });

  it("has the key next with which the fewest work, however many wait with another", async () => {
    const limiter = new Limiter<string>({ inAll: 4 });
    const first = [1, 2, 3, 4].map(() => working(limiter, "one"));
    const more = [working(limiter, "one"), working(limiter, "two"), working(limiter, "three")];
    first[0]?.end();
    first[1]?.end();
    expect(await begun(more)).to.deep.equal([false, true, true]);
    first[2]?.end();
    expect(await begun(more)).to.deep.equal([true, true, true]);
    for (const one of [...first, ...more]) one.end();
    await Promise.all(more.map(({ done }) => done));
  });

  it("is not waited in by who gives up, before or in the moment of its turn", async () => {
    const limiter = new Limiter<string>({ inAll: 1 });
    const first = working(limiter, "a");
    const [early, late] = [new AbortController(), new AbortController()];
    const [waits, inTheMoment] = [working(limiter, "b", early.signal), working(limiter, "a", late.signal)];
    const last = working(limiter, "b");
    early.abort();
    expect(await failure(waits.done)).to.equal("canceled the caller gave up; waited for another call");
    late.abort(new Error("too late"));
    first.end();
    last.end();
    expect(await failure(inTheMoment.done)).to.equal("Error: too late");
    await last.done;
    expect([waits.begun, inTheMoment.begun, last.begun]).to.deep.equal([false, false, true]);
    expect(await failure(limiter.run("a", early.signal, () => Promise.resolve()))).to.match(/^canceled/);
  });

  it("has a step that was given up keep its place, and with it the key around, until it settles", async () => {
    const limiter = new Limiter<string>({ inAll: 1 });
    const creation = new Hold();
    let settle = (): void => undefined;
    const stuck = (): Promise<void> => new Promise((resolve) => (settle = resolve));
    const boot = under(creation, () =>
      limiter.run("box", neverAborted, () => stage("start vmm", 5, neverAborted, stuck)),
    );
    expect(await failure(boot)).to.match(/^deadlineExceeded start vmm/);
    expect([creation.isFree, limiter.isFull]).to.deep.equal([false, true]);
    const next = working(limiter, "another");
    expect(await begun([next])).to.deep.equal([false]);
    settle();
    await creation.freed();
    expect(await begun([next])).to.deep.equal([true]);
    next.end();
    await next.done;
  });
});
