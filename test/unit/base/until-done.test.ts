import { expect } from "chai";
import { RuntimeError } from "../../../src/base/errors.js";
import { neverAborted } from "../../../src/base/signals.js";
import { untilDone } from "../../../src/base/until-done.js";

describe("what has to happen at last", () => {
  it("is tried until it does, and its failures are told of once", async () => {
    let tries = 0;
    const told: unknown[] = [];
    const work = (): Promise<void> => {
      tries += 1;
      return tries < 3 ? Promise.reject(new Error(`failure ${String(tries)}`)) : Promise.resolve();
    };
    await untilDone(work, neverAborted, (thrown) => told.push(thrown));
    expect(tries).to.equal(3);
    expect(told).to.have.length(1);
    expect(told[0]).to.have.property("message", "failure 1");
  });

  it("is given up, without a word, when the signal aborts", async () => {
    const stop = new AbortController();
    const work = (): Promise<void> => {
      stop.abort(new RuntimeError("canceled", "the test"));
      return Promise.reject(new Error("no"));
    };
    const told: unknown[] = [];
    const end = await untilDone(work, stop.signal, (thrown) => told.push(thrown)).catch((thrown: unknown) => thrown);
    expect(end).to.have.property("message", "the test");
    expect(told).to.deep.equal([]);
  });
});
