import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import pino from "pino";
import { RuntimeError } from "../../../../src/base/errors.js";
import { digest, digestHex } from "../../../../src/base/ids.js";
import { prepareStoreDirectory, type StoreDirectory } from "../../../../src/image/content/store-directory.js";
import { LayerFiles } from "../../../../src/image/unpack/layer-files.js";

const [lower, upper] = ["1", "2"].map((digit) => digest(`sha256:${digit.repeat(64)}`)) as [
  ReturnType<typeof digest>,
  ReturnType<typeof digest>,
];
const { signal } = new AbortController();

describe("layers' files", () => {
  let top: string;
  let directory: StoreDirectory;
  let packed: string[];
  let failure: Error | undefined;
  let files: LayerFiles;

  beforeEach(async () => {
    top = await mkdtemp(join(tmpdir(), "a3s-layer-files-"));
    directory = await prepareStoreDirectory(join(top, "images"));
    for (const layer of [lower, upper])
      await mkdir(join(directory.layers, digestHex(layer), "fs"), { recursive: true });
    packed = [];
    failure = undefined;
    let count = 0;
    files = new LayerFiles({
      directory,
      bootId: "boot",
      ingest: { freshPath: (what) => join(directory.ingest, `${what}-${(count += 1)}`) },
      native: { removeTree: (path) => rm(path, { recursive: true, force: true }) },
      log: pino({ level: "silent" }),
      unpacker: {
        pack: async (place, tree) => {
          packed.push(tree);
          if (failure !== undefined) throw failure;
          await writeFile(join(place, "layer.erofs"), "");
          return join(place, "layer.erofs");
        },
      },
    });
  });
  afterEach(async () => {
    await rm(top, { recursive: true });
  });

  it("come uppermost first, each made once, however many ask at a time", async () => {
    const expected = [upper, lower].map((layer) => join(directory.layers, digestHex(layer), "boot.erofs"));
    const all = await Promise.all([1, 2, 3].map(() => files.of([lower, upper], signal)));
    expect(all).to.deep.equal([expected, expected, expected]);
    expect(packed).to.have.length(2);
    expect(await files.of([lower], signal)).to.deep.equal(expected.slice(1));
    expect(packed).to.have.length(2);
    expect(await readdir(directory.ingest)).to.deep.equal([]);
  });

  it("are none for an image without layers, and for one with a layer that can't be one", async () => {
    expect(await files.of([], signal)).to.equal(undefined);
    failure = new RuntimeError("internal", "an attribute is larger than EROFS has it");
    expect(await files.of([lower], signal)).to.equal(undefined);
    expect(await files.of([lower], signal)).to.equal(undefined);
    expect(await files.of([lower], signal)).to.equal(undefined);
    failure = undefined;
    expect(await files.of([lower, upper], signal), "it is not tried again").to.equal(undefined);
    expect(packed).to.have.length(3);
    expect(await readdir(directory.ingest)).to.deep.equal([]);
  });

  it("are made for the next container after a packer that something has ended", async () => {
    failure = new RuntimeError("internal", "the unpacker was ended by signal SIGKILL");
    expect(await files.of([lower], signal)).to.equal(undefined);
    failure = undefined;
    expect(await files.of([lower], signal)).to.have.length(1);
  });

  it("that a full disk has no room for fail, and are made when it has", async () => {
    failure = new RuntimeError("resourceExhausted", "no space left for the image");
    const thrown = await files.of([lower], signal).catch((caught: unknown) => caught);
    expect(thrown).to.have.property("code", "resourceExhausted");
    failure = undefined;
    expect(await files.of([lower], signal)).to.have.length(1);
  });

  it("are made ahead of a container only where some have been wanted", async () => {
    files.ahead([lower]);
    await files.of([upper], signal);
    expect(packed).to.have.length(1);
    files.ahead([lower]);
    expect(await files.of([lower], signal)).to.have.length(1);
    expect(packed).to.have.length(2);
  });

  it("that nobody waits for any more are given up, and can be asked for again", async () => {
    const given = new AbortController();
    given.abort(new RuntimeError("canceled", "the caller has gone"));
    const thrown = await files.of([lower], given.signal).catch((caught: unknown) => caught);
    expect(thrown).to.have.property("code", "canceled");
    expect(await files.of([lower], signal)).to.have.length(1);
  });
});
