import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { metadataAsked, metadataOf } from "../../../../src/sandboxes/e2b/metadata.js";

const asked = (headersDistinct: Record<string, string[]>): unknown => {
  const attributes = metadataAsked({ headersDistinct });
  return attributes === undefined ? undefined : [...attributes];
};

describe("metadata of E2B's files", () => {
  it("is what the headers say, of two the first, and nothing where none does", () => {
    expect(asked({ "content-type": ["x"], "x-metadata-": ["no key"] })).to.equal(undefined);
    expect(asked({ "x-metadata-a": ["1", "2"], "x-metadata-b-c": [""] })).to.deep.equal([
      ["user.e2b.a", "1"],
      ["user.e2b.b-c", ""],
    ]);
  });

  it("is refused where it can't be kept whole", () => {
    const most = 4096 - "user.e2b.a".length;
    expect(asked({ "x-metadata-a": ["x".repeat(most)] })).to.have.length(1);
    expect(asked({ [`x-metadata-${"k".repeat(246)}`]: [""] })).to.have.length(1);
    for (const headers of [
      { "x-metadata-a": ["x".repeat(most + 1)] },
      { "x-metadata-a": ["x".repeat(2048)], "x-metadata-b": ["x".repeat(2048)] },
      { [`x-metadata-${"k".repeat(247)}`]: [""] },
      { "x-metadata-a": ["ä"] },
      { "x-metadata-a": ["\t"] },
      { "x-metadata-a": ["\x7f"] },
    ]) {
      expect(() => asked(headers))
        .to.throw(RuntimeError)
        .with.property("code", "invalidArgument");
    }
  });

  it("is told without the name space, and nothing of others", () => {
    expect(metadataOf(undefined)).to.equal(undefined);
    expect(metadataOf(new Map([["user.mime_type", "x"]]))).to.equal(undefined);
    expect(metadataOf(new Map([["user.e2b.a", "1"]]))).to.deep.equal({ a: "1" });
  });
});
