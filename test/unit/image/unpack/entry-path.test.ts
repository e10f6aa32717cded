import { expect } from "chai";
import { entryParts, linkParts, whiteoutOf } from "../../../../src/image/unpack/entry-path.js";

describe("names of layer entries", () => {
  it("are read from the layer's root", () => {
    expect(entryParts("./a//b/")).to.deep.equal(["a", "b"]);
    expect(entryParts("/etc/passwd")).to.deep.equal(["etc", "passwd"]);
    expect(entryParts("./")).to.deep.equal([]);
    expect(entryParts("..a/b..")).to.deep.equal(["..a", "b.."]);
  });

  for (const name of ["..", "../a", "a/../../b", "a/..", "/../a"]) {
    it(`are refused with "..": ${name}`, () => {
      expect(() => entryParts(name)).to.throw(/leaves its root/);
    });
  }

  for (const link of ["/etc/passwd", "../a", "a/../b", "", "."]) {
    it(`are refused as a hard link's target: ${JSON.stringify(link)}`, () => {
      expect(() => linkParts(link)).to.throw(/leaves its root/);
    });
  }
});

describe("whiteouts", () => {
  it("are told from other names", () => {
    expect(whiteoutOf("a.wh.b")).to.deep.equal({ kind: "none" });
    expect(whiteoutOf(".wh.b")).to.deep.equal({ kind: "removed", name: "b" });
    expect(whiteoutOf(".wh..wh..opq")).to.deep.equal({ kind: "opaque" });
    expect(whiteoutOf(".wh..wh.plnk")).to.deep.equal({ kind: "ignored" });
  });

  for (const name of [".wh.", ".wh..", ".wh..."]) {
    it(`are refused where they hide no name: ${name}`, () => {
      expect(() => whiteoutOf(name)).to.throw(/whiteout of nothing/);
    });
  }
});
