import { expect } from "chai";
import { NextLook } from "../../../src/base/next-look.js";

/** Looks that answer when they are told to, each with its number. */
function looks(): { look: NextLook<number>; answer: (() => void)[]; fail: (() => void)[] } {
  const answer: (() => void)[] = [];
  const fail: (() => void)[] = [];
  const look = new NextLook(
    () =>
      new Promise<number>((resolve, reject) => {
        const number = answer.push(() => {
          resolve(number);
        });
        fail.push(() => {
          reject(new Error(`look ${number}`));
        });
      }),
  );
  return { look, answer, fail };
}

describe("NextLook", () => {
  it("looks once at a time; who asks meanwhile gets the answer of one look that began later", async () => {
    const { look, answer } = looks();
    const first = look.ask();
    const others = [look.ask(), look.ask(), look.ask()];
    expect(answer.length).to.equal(1);
    answer[0]?.();
    expect(await first).to.equal(1);
    await Promise.resolve();
    expect(answer.length).to.equal(2);
    answer[1]?.();
    expect(await Promise.all(others)).to.deep.equal([2, 2, 2]);
    const again = look.ask();
    answer[2]?.();
    expect(await again).to.equal(3);
  });

  it("looks again after one that failed", async () => {
    const { look, answer, fail } = looks();
    const first = look.ask().catch(String);
    const second = look.ask();
    fail[0]?.();
    expect(await first).to.equal("Error: look 1");
    answer[1]?.();
    expect(await second).to.equal(2);
  });
});
