import { expect } from "chai";
import { describe, it } from "mocha";
import { type ImageFile, imageLayer } from "../../../scripts/setup/image-layer.js";
import { type Image, ociArchive } from "../../../scripts/setup/oci-archive.js";

const files: ImageFile[] = [
  { path: "bin", kind: "directory", mode: 0o755 },
  { path: "bin/tool", kind: "file", mode: 0o755, content: Buffer.from("tool"), uid: 1000, mtime: 1_700_000_000 },
  { path: "bin/link", kind: "symlink", to: "tool" },
  { path: "bin/other", kind: "hardlink", to: "bin/tool", mode: 0o755 },
];

async function imageOf(...layers: readonly (readonly ImageFile[])[]): Promise<Image> {
  return {
    name: "localhost/x:1",
    layers: await Promise.all(layers.map((layer) => imageLayer(layer, "test"))),
    config: { Cmd: ["sh"], Env: [] },
  };
}

describe("an image made by the set-up", () => {
  it("has the same bytes each time", async () => {
    const [one, two] = [await ociArchive(await imageOf(files)), await ociArchive(await imageOf(files))];
    expect(one.tar.equals(two.tar)).to.equal(true);
    expect(one.digest).to.equal(two.digest);
  });

  it("differs when a file does, or its owner, or the order of layers", async () => {
    const more: ImageFile[] = [...files, { path: "etc", kind: "directory", mode: 0o755 }];
    const owned = files.map((file): ImageFile => ({ ...file, gid: 5 }));
    const images = [imageOf(files), imageOf(more), imageOf(owned), imageOf(files, more), imageOf(more, files)];
    const digests = await Promise.all(images.map(async (image) => (await ociArchive(await image)).digest));
    expect(new Set(digests).size).to.equal(images.length);
  });
});
