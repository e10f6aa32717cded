import { expect } from "chai";
import {
  classesOf,
  fitting,
  keyOf,
  nameOf,
  type PoolClass,
  type PoolWish,
} from "../../../../src/vmm/pool/pool-class.js";

const small: PoolClass = { driver: "qemu", vcpus: 1, memoryMib: 512, count: 2 };
const middle: PoolClass = { driver: "qemu", vcpus: 2, memoryMib: 1024, count: 1 };
const large: PoolClass = { driver: "qemu", vcpus: 2, memoryMib: 4096, count: 1 };
const classes = [large, small, middle];
const wish: PoolWish = {
  ...{ driver: "qemu", vcpus: 1, memoryMib: 512, among: classes, tap: "tap0", mapsOwners: false, takesLarger: false },
};
const found = (change: Partial<PoolWish>): unknown => fitting({ ...wish, ...change }, classes, "tap0");

describe("which Boxes of the pool would do", () => {
  it("are those of the very size, where more might break a limit", () => {
    expect(found({})).to.deep.equal([small]);
    expect(found({ memoryMib: 511 })).to.equal("size");
    expect(found({ vcpus: 2, memoryMib: 512 })).to.equal("size");
  });

  it("are larger ones too where nothing is limited, the smallest first", () => {
    expect(found({ takesLarger: true })).to.deep.equal([small, middle, large]);
    expect(found({ takesLarger: true, vcpus: 2 })).to.deep.equal([middle, large]);
    expect(found({ takesLarger: true, memoryMib: 8192 })).to.equal("size");
  });

  it("are only those that the pod's handler has", () => {
    expect(found({ among: [large] })).to.equal("size");
    expect(found({ among: [large], takesLarger: true })).to.deep.equal([large]);
  });

  it("are none for another driver, a user namespace, another kind of network", () => {
    expect(found({ driver: "native" })).to.equal("driver");
    expect(found({ driver: "krun" })).to.equal("driver");
    expect(found({ mapsOwners: true })).to.equal("users");
    expect(found({ tap: null })).to.equal("network");
  });
});

describe("classes of Boxes", () => {
  it("are one where handlers have the same size: their counts go together", () => {
    expect(classesOf([small, middle, { ...small, count: 3 }])).to.deep.equal([{ ...small, count: 5 }, middle]);
    expect(classesOf([small, { ...small, driver: "krun" }]).map(nameOf)).to.deep.equal(["qemu-1x512", "krun-1x512"]);
  });

  it("have other keys where anything is another: size, tap, or what a machine depends on", () => {
    const keys = [
      keyOf(small, "tap0", "qemu 1"),
      keyOf(small, "tap0", "qemu 2"),
      keyOf(small, null, "qemu 1"),
      keyOf(middle, "tap0", "qemu 1"),
      keyOf({ ...small, driver: "krun" }, "tap0", "qemu 1"),
    ];
    expect(new Set(keys).size).to.equal(keys.length);
    expect(keyOf({ ...small, count: 9 }, "tap0", "qemu 1")).to.equal(keys[0]);
  });
});
