import { expect } from "chai";
import { tscKhz } from "../../../src/vmm/drivers/qemu/tsc-frequency.js";

describe("the frequency of the time stamp counter", () => {
  /** A counter of 2.5 GHz, read at these milliseconds, one after the other. */
  const counter = (...readAtMs: number[]) => {
    const left = readAtMs.map((ms) => ({ ticks: BigInt(ms * 2_500_000), monotonicNs: BigInt(ms * 1_000_000) }));
    return () => {
      const reading = left.shift();
      if (reading === undefined) throw new Error("read more often than expected");
      return reading;
    };
  };

  it("comes from two readings", async () => {
    const readTsc = counter(1000, 4000);
    expect(await tscKhz(readTsc(), { readTsc }, AbortSignal.timeout(1000))).to.equal(2_500_000);
  });

  it("is read again where the first reading is too young", async () => {
    const readTsc = counter(1000, 1001, 1101);
    expect(await tscKhz(readTsc(), { readTsc }, AbortSignal.timeout(1000))).to.equal(2_500_000);
    expect(readTsc).to.throw("more often");
  });
});
