import { expect } from "chai";
import { digest } from "../../../../src/base/ids.js";
import { encodeIndexFile, parseIndexFile, type IndexEntry } from "../../../../src/image/content/index-file.js";
import { ociManifest } from "../../../../src/image/content/media-types.js";
import { withEntries } from "../../../../src/image/store/record-names.js";

function entry(digit: string, name: string | undefined): IndexEntry {
  return {
    mediaType: ociManifest,
    digest: digest(`sha256:${digit.repeat(64)}`),
    size: 7,
    name,
    servedDigest: undefined,
  };
}

function brief(entries: readonly IndexEntry[]): string[] {
  return entries.map((one) => `${one.name ?? "-"} ${one.digest.slice(7, 8)}`).sort();
}

describe("index.json of the store", () => {
  it("reads what it writes", () => {
    const entries = [entry("a", "r/x:1"), entry("b", undefined)];
    const served = { ...entry("c", "r/y:1"), servedDigest: digest(`sha256:${"d".repeat(64)}`) };
    const read = parseIndexFile(encodeIndexFile([...entries, served]));
    expect(read.map(({ containerdName: _, ...rest }) => rest)).to.deep.equal([...entries, served]);
  });

  it("names an image as skopeo looks for it", () => {
    const text = encodeIndexFile([entry("a", "r/x:1")]);
    expect(JSON.parse(text)).to.have.nested.property(
      "manifests[0].annotations.org\\.opencontainers\\.image\\.ref\\.name",
      "r/x:1",
    );
  });

  it("says what to do when it can't be read", () => {
    expect(() => parseIndexFile("{")).to.throw(/move the images directory away/);
    expect(() => parseIndexFile('{"manifests":[{"digest":"x"}]}')).to.throw(/can't be read/);
  });
});

describe("recording a name", () => {
  it("moves a name to its new image", () => {
    const after = withEntries([entry("a", "r/x:1"), entry("a", "r/x@a")], [entry("b", "r/x:1")]);
    expect(brief(after)).to.deep.equal(["r/x:1 b", "r/x@a a"]);
  });

  it("keeps the old image without a name when it has lost its last one", () => {
    const after = withEntries([entry("a", "r/x:1")], [entry("b", "r/x:1")]);
    expect(brief(after)).to.deep.equal(["- a", "r/x:1 b"]);
  });

  it("drops the nameless entry once the image has a name again, and never has it twice", () => {
    expect(brief(withEntries([entry("a", undefined)], [entry("a", "r/x:1")]))).to.deep.equal(["r/x:1 a"]);
    expect(brief(withEntries([entry("a", undefined)], [entry("a", undefined)]))).to.deep.equal(["- a"]);
  });

  it("changes nothing for an image that is there under its name", () => {
    const before = [entry("a", "r/x:1"), entry("a", "r/x@a")];
    expect(brief(withEntries(before, before))).to.deep.equal(brief(before));
  });
});
