import { expect } from "chai";
import fc from "fast-check";
import { RuntimeError } from "../../../../src/base/errors.js";
import { digest } from "../../../../src/base/ids.js";
import { joinLayers } from "../../../../src/image/content/catalog.js";
import { parseImageConfig } from "../../../../src/image/content/image-config.js";
import { encodeIndexFile, parseIndexFile } from "../../../../src/image/content/index-file.js";
import { choosePlatform, parseManifest } from "../../../../src/image/content/manifest.js";
import * as types from "../../../../src/image/content/media-types.js";
import { asText, hostileJson, inheritedNames, spoiled, times } from "../../../support/fuzz.js";

const digests = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`);
const sizes = fc.nat();
const layerTypes = [
  types.ociLayer,
  types.ociLayerGzip,
  types.ociLayerZstd,
  "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

function descriptor(...mediaTypes: readonly string[]) {
  return fc.record({ mediaType: fc.constantFrom(...mediaTypes), digest: digests, size: sizes });
}

const manifests = fc.record({
  schemaVersion: fc.constant(2),
  mediaType: fc.constant(types.ociManifest),
  config: descriptor(types.ociConfig),
  layers: fc.array(descriptor(...layerTypes), { maxLength: 5 }),
});
const platforms = fc.record({
  os: fc.constantFrom("linux", "windows"),
  architecture: fc.constantFrom("amd64", "arm64", "arm"),
  variant: fc.option(fc.constantFrom("v1", "v7", "v8"), { nil: undefined }),
});
const entries = fc
  .tuple(descriptor(types.ociManifest, types.dockerManifest), fc.option(platforms, { nil: undefined }))
  .map(([entry, platform]) => ({ ...entry, platform }));
const indices = fc.record({
  schemaVersion: fc.constant(2),
  mediaType: fc.constant(types.ociIndex),
  manifests: fc.array(entries, { maxLength: 5 }),
});
const words = fc.array(fc.string(), { maxLength: 3 });
const configs = fc.record({
  architecture: fc.constantFrom("amd64", "arm64"),
  os: fc.constant("linux"),
  config: fc.record({
    Env: words,
    Cmd: words,
    Entrypoint: words,
    User: fc.string(),
    WorkingDir: fc.string(),
    Labels: fc.dictionary(fc.oneof(fc.string(), fc.constantFrom(...inheritedNames)), fc.string()),
  }),
  rootfs: fc.record({ type: fc.constant("layers"), diff_ids: fc.array(digests, { maxLength: 5 }) }),
});
const files = fc.record({
  manifests: fc.array(
    fc
      .tuple(descriptor(types.ociManifest, types.ociIndex), fc.option(fc.string(), { nil: undefined }))
      .map(([entry, name]) => ({
        ...entry,
        annotations: name === undefined ? {} : { "org.opencontainers.image.ref.name": name },
      })),
    { maxLength: 5 },
  ),
});

/** What it gives, or the code it is refused with: anything else fails the test. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (thrown) {
    if (!(thrown instanceof RuntimeError)) throw thrown;
    expect(thrown.code).to.be.oneOf(["internal", "unimplemented", "notFound"]);
    expect(thrown.message.length).to.be.lessThan(2000);
    return undefined;
  }
}

const ownNames = Object.getOwnPropertyNames(Object.prototype).sort();

function expectNoPollution(): void {
  expect(Object.getOwnPropertyNames(Object.prototype).sort()).to.deep.equal(ownNames);
  expect(Object.keys({})).to.deep.equal([]);
}

function bytes(json: unknown): Buffer {
  return Buffer.from(asText(json));
}

describe("any content as a manifest or an index", () => {
  const contents = fc.oneof(spoiled(manifests), spoiled(indices), hostileJson(), manifests, indices);
  const senders = fc.constantFrom(...types.manifestTypes, "application/json", "", ...inheritedNames);

  it("is read into what the types say, within bounds, or refused by a RuntimeError", () => {
    let read = 0;
    fc.assert(
      fc.property(contents, senders, (json, sender) => {
        const parsed = attempt(() => parseManifest(bytes(json), sender));
        expectNoPollution();
        if (parsed === undefined) return;
        read += 1;
        const descriptors = parsed.kind === "index" ? parsed.manifests : [parsed.config, ...parsed.layers];
        for (const one of descriptors) {
          expect(one.digest).to.match(/^sha256:[0-9a-f]{64}$/);
          expect(Number.isSafeInteger(one.size) && one.size >= 0).to.equal(true);
          expect(one.mediaType).to.be.a("string").with.property("length").that.is.lessThan(256);
        }
        if (parsed.kind === "index") attempt(() => choosePlatform(parsed, "linux/amd64"));
        else {
          expect(parsed.layers.length).to.be.lessThan(513);
          for (const { compression } of parsed.layers) expect(compression).to.be.oneOf(["none", "gzip", "zstd"]);
        }
      }),
      times(5),
    );
    expect(read).to.be.greaterThan(50);
  });

  it("that is read is the same when what was read is printed and read again", () => {
    fc.assert(
      fc.property(fc.oneof(manifests, spoiled(manifests)), (json) => {
        const parsed = attempt(() => parseManifest(bytes(json), types.ociManifest));
        if (parsed !== undefined) expect(parseManifest(bytes(parsed), types.ociManifest)).to.deep.equal(parsed);
      }),
    );
  });

  it("is refused as a layer whose type is a name that objects inherit", () => {
    for (const mediaType of inheritedNames) {
      const layers = [{ mediaType, digest: `sha256:${"a".repeat(64)}`, size: 1 }];
      const config = { mediaType: types.ociConfig, digest: `sha256:${"b".repeat(64)}`, size: 1 };
      expect(attempt(() => parseManifest(bytes({ config, layers }), types.ociManifest))).to.equal(undefined);
    }
  });

  it("of eight million brackets is refused, and of many thousand entries is refused, before the test's limit", function () {
    this.timeout(60_000);
    for (const bracket of ["[", '{"a":']) {
      const deep = Buffer.from(bracket.repeat((8 << 20) / bracket.length));
      expect(attempt(() => parseManifest(deep, types.ociManifest))).to.equal(undefined);
    }
    const layer = { mediaType: types.ociLayer, digest: `sha256:${"a".repeat(64)}`, size: 1 };
    const many = bytes({ config: layer, layers: Array.from({ length: 40_000 }, () => layer) });
    expect(attempt(() => parseManifest(many, types.ociManifest))).to.equal(undefined);
  });
});

describe("any content as an image's config", () => {
  it("is read into lists of strings and digests, or refused by a RuntimeError", () => {
    let read = 0;
    fc.assert(
      fc.property(fc.oneof(configs, spoiled(configs), hostileJson()), manifests, (json, manifest) => {
        const parsed = attempt(() => parseImageConfig(bytes(json)));
        expectNoPollution();
        if (parsed === undefined) return;
        read += 1;
        const { config, diffIds } = parsed;
        for (const list of [config.entrypoint, config.cmd, config.env]) {
          expect(list.every((word) => typeof word === "string")).to.equal(true);
        }
        for (const text of [config.user, config.workingDir, config.stopSignal, config.platform]) {
          expect(text).to.be.a("string");
        }
        expect(Object.values(config.labels).every((value) => typeof value === "string")).to.equal(true);
        for (const diffId of diffIds) expect(diffId).to.match(/^sha256:[0-9a-f]{64}$/);
        const good = parseManifest(bytes(manifest), types.ociManifest);
        if (good.kind === "manifest") {
          const joined = attempt(() => joinLayers(good, diffIds));
          if (joined !== undefined) expect(joined.length).to.equal(good.layers.length).and.equal(diffIds.length);
        }
      }),
      times(5),
    );
    expect(read).to.be.greaterThan(50);
  });
});

describe("an image's config of any size", () => {
  /** Mostly within the bound, often at it, sometimes one above. */
  const about = (most: number) =>
    fc.oneof(
      { arbitrary: fc.nat(most), weight: 4 },
      { arbitrary: fc.constant(most), weight: 2 },
      { arbitrary: fc.constant(most + 1), weight: 1 },
    );
  const sizes = fc.record({
    Volumes: about(64),
    Env: about(1024),
    Cmd: about(1024),
    Labels: about(1024),
    diffIds: about(512),
  });

  it("is within its bounds when it is read, and refused when it is not", () => {
    let read = 0;
    fc.assert(
      fc.property(sizes, (size) => {
        const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `/${at}`);
        const keyed = (count: number): object => Object.fromEntries(names(count).map((name) => [name, name]));
        const { Volumes, Env, Cmd, Labels, diffIds } = size;
        const parsed = attempt(() =>
          parseImageConfig(
            bytes({
              config: { Volumes: keyed(Volumes), Env: names(Env), Cmd: names(Cmd), Labels: keyed(Labels) },
              rootfs: { diff_ids: names(diffIds).map(() => `sha256:${"a".repeat(64)}`) },
            }),
          ),
        );
        const fits = Volumes <= 64 && Env <= 1024 && Cmd <= 1024 && Labels <= 1024 && diffIds <= 512;
        expect(parsed !== undefined).to.equal(fits);
        if (parsed === undefined) return;
        read += 1;
        expect(parsed.config.volumes).to.have.length(Volumes);
        expect(parsed.diffIds).to.have.length(diffIds);
      }),
      { numRuns: 50 },
    );
    expect(read).to.be.greaterThan(0);
  });
});

describe("any content as the store's index.json", () => {
  it("is read, or refused by a RuntimeError; what is read is the same when it is written and read again", () => {
    let read = 0;
    fc.assert(
      fc.property(fc.oneof(files, spoiled(files), hostileJson()), (json) => {
        const parsed = attempt(() => parseIndexFile(asText(json)));
        expectNoPollution();
        if (parsed === undefined) return;
        read += 1;
        const named = parsed.map((entry) => ({ ...entry, containerdName: entry.name }));
        expect(parseIndexFile(encodeIndexFile(parsed))).to.deep.equal(named);
        for (const entry of parsed) expect(digest(entry.digest)).to.equal(entry.digest);
      }),
      times(2),
    );
    expect(read).to.be.greaterThan(50);
  });
});
