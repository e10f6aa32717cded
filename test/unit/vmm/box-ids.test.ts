import { expect } from "chai";
import { newBoxId, boxId } from "../../../src/base/ids.js";
import { deviceMacOf, movedRoot, serverRootOf, vmmUserOf } from "../../../src/vmm/box-ids.js";

const ends = ["00".repeat(32), "ff".repeat(32), "ab".repeat(32)].map((text) => boxId(text));

describe("the ids of a Box", () => {
  it("are a user for its VMM and one for its file server, which nobody hands out and which are never the same", () => {
    for (const id of [...ends, newBoxId()]) {
      expect(vmmUserOf(id)).to.be.within(0x7000_0000, 0x7ff0_0000);
      expect(serverRootOf(id)).to.be.within(0x8000_0000, 0xfffe_ffff);
    }
  });

  it("are each Box's own, and the same whenever they are asked for", () => {
    const ids = Array.from({ length: 200 }, () => newBoxId());
    expect(new Set(ids.map(vmmUserOf)).size).to.equal(ids.length);
    expect(new Set(ids.map(serverRootOf)).size).to.equal(ids.length);
    expect(ids.map(serverRootOf)).to.deep.equal(ids.map(serverRootOf));
  });

  it("make the MAC of its network device, which no vendor has, is one device's alone, and has never been another", () => {
    expect(deviceMacOf(boxId("ab".repeat(32)))).to.equal("02:ab:ab:ab:ab:ab");
    const macs = Array.from({ length: 200 }, () => deviceMacOf(newBoxId()));
    for (const mac of macs) expect(mac).to.match(/^02(:[0-9a-f]{2}){5}$/);
    expect(new Set(macs).size).to.equal(macs.length);
  });

  it("make a map in which the host's root is nobody, and everybody else but one is himself", () => {
    for (const root of ends.map(serverRootOf)) {
      const map = movedRoot(root);
      if (!("extents" in map)) throw new Error("it is in pieces");
      const outside = (id: number): number | undefined => {
        const found = map.extents.find(({ inside, count }) => id >= inside && id < inside + count);
        return found === undefined ? undefined : id - found.inside + found.outside;
      };
      expect(outside(0)).to.equal(root);
      for (const id of [1, 1000, 65_534, root - 1, root + 1, 0xffff_fffe]) expect(outside(id), `${id}`).to.equal(id);
      expect(outside(root)).to.equal(undefined);
      for (const { outside: first } of map.extents) expect(first).to.be.greaterThan(0);
    }
  });
});
