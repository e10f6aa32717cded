import { expect } from "chai";
import { BootTurns } from "../../../src/vmm/boot-turns.js";

describe("turns to boot", () => {
  const never = new AbortController().signal;

  /** A boot that ends when the test says so. */
  function boots(turns: BootTurns, signal = never) {
    const boot = { began: false, end: (): void => undefined };
    const ended = new Promise<void>((resolve) => (boot.end = resolve));
    const done = turns.run(signal, async () => {
      boot.began = true;
      await ended;
    });
    return Object.assign(boot, { done });
  }
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it("are so many at once, and then one for each that ends, in the order of asking", async () => {
    const turns = new BootTurns(2);
    const all = [boots(turns), boots(turns), boots(turns), boots(turns)] as const;
    await settle();
    expect(all.map(({ began }) => began)).to.deep.equal([true, true, false, false]);
    all[1].end();
    await settle();
    expect(all.map(({ began }) => began)).to.deep.equal([true, true, true, false]);
    for (const one of all) one.end();
    await Promise.all(all.map(({ done }) => done));
    expect(all[3].began).to.equal(true);
  });

  it("are given on by a boot that fails", async () => {
    const turns = new BootTurns(1);
    const failed = turns.run(never, () => Promise.reject(new Error("no guest")));
    const next = boots(turns);
    next.end();
    expect(await failed.catch((thrown: unknown) => (thrown as Error).message)).to.equal("no guest");
    await next.done;
  });

  it("are not waited for by whoever gives up, before or in the moment of its turn", async () => {
    const turns = new BootTurns(1);
    const first = boots(turns);
    const gaveUp = new AbortController();
    const [waits, late] = [boots(turns, gaveUp.signal), new AbortController()];
    const inTheMoment = boots(turns, late.signal);
    const last = boots(turns);
    gaveUp.abort(new Error("gave up"));
    expect(await waits.done.catch((thrown: unknown) => (thrown as Error).message)).to.equal("gave up");
    late.abort(new Error("too late"));
    first.end();
    last.end();
    expect(await inTheMoment.done.catch((thrown: unknown) => (thrown as Error).message)).to.equal("too late");
    await last.done;
    expect([waits.began, inTheMoment.began, last.began]).to.deep.equal([false, false, true]);
  });
});
