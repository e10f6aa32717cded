import { expect } from "chai";
import { Places } from "../../../../src/runtime/served-ports/places.js";
import { Rate } from "../../../../src/runtime/served-ports/rate.js";

const never = new AbortController().signal;

describe("places for connections", () => {
  it("are given in order, and given back once, whatever is done twice", async () => {
    const places = new Places(1);
    const leave = await places.take(never);
    const order: string[] = [];
    const second = places.take(never).then((give) => {
      order.push("second");
      return give;
    });
    const third = places.take(never).then((give) => {
      order.push("third");
      return give;
    });
    leave();
    leave();
    const leaveSecond = await second;
    expect(order).to.deep.equal(["second"]);
    leaveSecond();
    await third;
    expect(order).to.deep.equal(["second", "third"]);
  });

  it("are not lost by who gives up waiting, also when it has just got one", async () => {
    const places = new Places(1);
    const leave = await places.take(never);
    for (const late of [false, true]) {
      const gaveUp = new AbortController();
      const waiting = places.take(gaveUp.signal);
      waiting.catch(() => undefined);
      if (late) leave();
      gaveUp.abort(new Error("gave up"));
      // either it has got the place, and can give it back, or it never had one
      await waiting.then(
        (give) => {
          give();
        },
        () => undefined,
      );
    }
    expect(await places.take(AbortSignal.timeout(1000))).to.be.a("function");
  });
});

describe("a rate", () => {
  it("lets so many come at once, and then one in its time", async () => {
    let now = 1000;
    const rate = new Rate(3, 100, () => now);
    const waits = async (): Promise<boolean> => {
      const gaveUp = new AbortController();
      const taking = rate.take(gaveUp.signal);
      const isLate = await Promise.race([
        taking.then(() => false),
        new Promise<true>((done) => setImmediate(done, true)),
      ]);
      gaveUp.abort();
      await taking.catch(() => undefined);
      return isLate;
    };
    expect([await waits(), await waits(), await waits()]).to.deep.equal([false, false, false]);
    expect(await waits()).to.equal(true);
    now += 1000;
    expect([await waits(), await waits(), await waits(), await waits()]).to.deep.equal([false, false, false, true]);
  });
});
