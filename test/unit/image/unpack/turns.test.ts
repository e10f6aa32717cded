import { expect } from "chai";
import { Turns, type Turn } from "../../../../src/image/unpack/turns.js";

const never = new AbortController().signal;
const [one, two, three] = [Symbol("one"), Symbol("two"), Symbol("three")];

/** Whether it has its turn already. */
async function isBegun(turn: Promise<Turn>): Promise<boolean> {
  const waiting = Symbol("waiting");
  const late = new Promise((resolve) => setImmediate(resolve)).then(() => waiting);
  return (await Promise.race([turn, late])) !== waiting;
}

describe("turns of unpackers", () => {
  it("that wait for a download keep back none whose blob is there", async () => {
    const turns = new Turns();
    while (turns.ahead() !== undefined);
    expect(await isBegun(turns.whole(one, never))).to.equal(true);
  });

  it("ahead of a download are six, and again when one has ended, once", () => {
    const turns = new Turns();
    const begun = Array.from({ length: 6 }, () => turns.ahead());
    expect(turns.ahead()).to.equal(undefined);
    begun[0]?.release();
    begun[0]?.release();
    expect(turns.ahead()).to.not.equal(undefined);
    expect(turns.ahead()).to.equal(undefined);
  });

  it("go to the image that has the fewest, however many another waits for", async () => {
    const turns = new Turns();
    const begun = await Promise.all(Array.from({ length: 4 }, () => turns.whole(one, never)));
    const more = [turns.whole(one, never), turns.whole(two, never), turns.whole(three, never)];
    begun[0]?.release();
    begun[1]?.release();
    expect(await Promise.all(more.map(isBegun))).to.deep.equal([false, true, true]);
    begun[2]?.release();
    expect(await Promise.all(more.map(isBegun))).to.deep.equal([true, true, true]);
  });

  it("are not waited for by those who gave up, who leave at once", async () => {
    const turns = new Turns();
    const begun = await Promise.all(Array.from({ length: 4 }, () => turns.whole(one, never)));
    const caller = new AbortController();
    const given = turns.whole(two, caller.signal).catch((thrown: unknown) => thrown);
    const after = turns.whole(three, never);
    caller.abort();
    expect(await given).to.have.property("code", "canceled");
    begun[0]?.release();
    expect(await isBegun(after)).to.equal(true);
    expect(await turns.whole(two, caller.signal).catch((thrown: unknown) => thrown)).to.have.property(
      "code",
      "canceled",
    );
  });
});
