import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { isTrustworthy, readLayerNotes, writeLayerNotes } from "../../../../src/image/unpack/layer-notes.js";

/** As the first daemon wrote it, letter by letter: running containers stand on such layers, so never change this text. */
const first = '{"version":1,"bootId":"b-1","opaqueFolders":["","etc"]}';

describe("the notes of a layer", () => {
  let layer: string;
  beforeEach(async () => {
    layer = await mkdtemp(join(tmpdir(), "a3s-layer-"));
  });
  afterEach(async () => {
    await rm(layer, { recursive: true, force: true });
  });

  it("are read and trusted as the first daemon wrote them", async () => {
    await writeFile(join(layer, "layer.json"), first);
    expect(await readLayerNotes(layer)).to.deep.equal({ bootId: "b-1", opaqueDirectories: ["", "etc"] });
    expect(await isTrustworthy(layer, "b-1")).to.equal(true);
    expect(await isTrustworthy(layer, "b-2")).to.equal(false);
  });

  it("are written so that an earlier daemon reads them", async () => {
    await writeLayerNotes(layer, { bootId: "b-1", opaqueDirectories: ["", "etc"] });
    expect(JSON.parse(await readFile(join(layer, "layer.json"), "utf8"))).to.deep.equal(JSON.parse(first));
  });
});
