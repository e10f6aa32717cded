import { expect } from "chai";
import { messageOf } from "../../../../src/base/errors.js";
import { checkOnHost, missingIn } from "../../../../src/vmm/cgroup/host-cpus.js";

describe("CPUs and memory nodes of the host", () => {
  for (const [list, has, missing] of [
    ["0", "0", undefined],
    ["0-3,7", "0-3,7", undefined],
    ["1,3", "0-1,2-3", undefined],
    ["1-6", "4-7,0-3", undefined],
    ["0,4095", "0-3", 4095],
    ["2-5", "0-3,5", 4],
    ["0-9999999999", "0-3", 4],
  ] as const) {
    it(`of ${has}, "${list}" names ${missing === undefined ? "what is there" : `${missing}, which is not`}`, () => {
      expect(missingIn(list, has)).to.equal(missing);
    });
  }

  it("are asked for what they have; nothing is asked for where nothing is wished", async () => {
    const said = async (cpus: string, mems: string): Promise<string> =>
      await checkOnHost({ cpuset_cpus: cpus, cpuset_mems: mems }).then(() => "", messageOf);
    expect(await said("", "")).to.equal("");
    expect(await said("0", "0")).to.equal("");
    expect(await said("0,8191", "")).to.match(/^cpuset_cpus "0,8191": the host has no CPU 8191 \(it has 0/);
    expect(await said("0", "1023")).to.match(/^cpuset_mems "1023": the host has no memory node 1023 \(it has 0\)/);
  });
});
