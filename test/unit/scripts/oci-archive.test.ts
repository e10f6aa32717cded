import { expect } from "chai";
import { describe, it } from "mocha";
import { type ImageFile, ociArchive } from "../../../scripts/setup/oci-archive.js";

const files: ImageFile[] = [
  { path: "bin", kind: "folder", mode: 0o755 },
  { path: "bin/tool", kind: "file", mode: 0o755, content: Buffer.from("tool") },
  { path: "bin/link", kind: "symlink", to: "tool" },
];

describe("an image made by the set-up", () => {
  it("has the same bytes each time", async () => {
    const wish = { name: "localhost/x:1", files, command: ["sh"] };
    expect((await ociArchive(wish)).equals(await ociArchive(wish))).to.equal(true);
  });

  it("differs when a file does", async () => {
    const more: ImageFile[] = [...files, { path: "etc", kind: "folder", mode: 0o755 }];
    const one = await ociArchive({ name: "localhost/x:1", files, command: ["sh"] });
    const two = await ociArchive({ name: "localhost/x:1", files: more, command: ["sh"] });
    expect(one.equals(two)).to.equal(false);
  });
});
