import { expect } from "chai";
import fc from "fast-check";
import { RuntimeError } from "../../../../src/base/errors.js";
import { chainIdsOf, parseImageConfig } from "../../../../src/image/content/image-config.js";
import { choosePlatform, parseManifest } from "../../../../src/image/content/manifest.js";
import * as types from "../../../../src/image/content/media-types.js";
import { digest } from "../../../../src/base/ids.js";
import "../../../support/fuzz.js";

const sha = (digit: string): string => `sha256:${digit.repeat(64)}`;
const bytes = (json: unknown): Buffer => Buffer.from(JSON.stringify(json));
const config = { mediaType: types.ociConfig, digest: sha("a"), size: 10 };

function index(...platforms: (string | undefined)[]): Buffer {
  const manifests = platforms.map((platform, position) => {
    const [os, architecture, variant] = platform?.split("/") ?? [];
    const entry = { mediaType: types.ociManifest, digest: sha(String(position)), size: 1 };
    return platform === undefined ? entry : { ...entry, platform: { os, architecture, variant } };
  });
  return bytes({ schemaVersion: 2, manifests });
}

function chosen(platform: string, ...platforms: (string | undefined)[]): string {
  const parsed = parseManifest(index(...platforms), types.ociIndex);
  if (parsed.kind !== "index") throw new Error("not an index");
  return choosePlatform(parsed, platform).digest;
}

describe("parseManifest", () => {
  for (const [mediaType, compression] of [
    [types.ociLayerGzip, "gzip"],
    [types.ociLayer, "none"],
    [types.ociLayerZstd, "zstd"],
    ["application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"],
  ] as const) {
    it(`reads a layer of ${mediaType} as ${compression}`, () => {
      const layers = [{ mediaType, digest: sha("b"), size: 5 }];
      const parsed = parseManifest(bytes({ schemaVersion: 2, config, layers }), types.ociManifest);
      expect(parsed).to.deep.include({ kind: "manifest", layers: [{ ...layers[0], compression }] });
    });
  }

  it("takes the content's word where the sender calls it by no registry's name", () => {
    const list = bytes({ mediaType: types.dockerList, manifests: [] });
    expect(parseManifest(list, "application/json").kind).to.equal("index");
    expect(parseManifest(bytes({ config, layers: [] }), "text/plain").kind).to.equal("manifest");
  });

  it("refuses foreign layers, unknown layers, other digests, schema 1 and what is not JSON", () => {
    const layer = (mediaType: string, by = sha("b")): Buffer =>
      bytes({ config, layers: [{ mediaType, digest: by, size: 1 }] });
    const foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    expect(() => parseManifest(layer(foreign), types.dockerManifest)).to.throw(/foreign layers are refused/);
    expect(() => parseManifest(layer("application/x"), types.ociManifest)).to.throw(/unknown layer type/);
    expect(() => parseManifest(layer(types.ociLayer, "md5:1"), types.ociManifest)).to.throw(/not a sha256/);
    expect(() => parseManifest(bytes({ schemaVersion: 1, fsLayers: [] }), "")).to.throw(/schema version 1/);
    expect(() => parseManifest(Buffer.from("<html>"), types.ociManifest)).to.throw(/not JSON/);
    expect(() => parseManifest(bytes({ config: 1 }), types.ociManifest)).to.throw(/wrong at config/);
  });

  it("refuses artifacts by their type, and says what could be mounted", () => {
    const empty = { mediaType: "application/vnd.oci.empty.v1+json", digest: sha("c"), size: 2 };
    const model = { mediaType: "application/vnd.example.model", digest: sha("b"), size: 1 };
    const tar = { ...model, mediaType: types.ociLayerGzip };
    const artifactType = "application/vnd.example+type";
    const read = (content: unknown) => () => parseManifest(bytes(content), types.ociManifest);
    for (const layers of [[model], [tar], []]) {
      expect(read({ artifactType, config: empty, layers }))
        .to.throw(/an OCI artifact of the type "application\/vnd\.example\+type" is not an image \(.*as volumes/)
        .with.property("code", "unimplemented");
    }
    const chart = { mediaType: "application/vnd.cncf.helm.config.v1+json", digest: sha("d"), size: 3 };
    expect(read({ config: chart, layers: [model] })).to.throw(/artifact of the type "application\/vnd\.cncf\.helm/);
    expect(read({ artifactType, config, layers: [tar] })()).to.have.property("kind", "manifest");
  });

  it("throws nothing but a RuntimeError, whatever the content", () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), fc.constantFrom(...types.manifestTypes, ""), (text, type) => {
        try {
          parseManifest(Buffer.from(text), type);
        } catch (thrown) {
          expect(thrown).to.be.instanceOf(RuntimeError);
        }
      }),
    );
  });
});

describe("choosePlatform", () => {
  it("takes the platform's manifest, wherever it stands", () => {
    expect(chosen("linux/amd64", "linux/arm64", "linux/amd64", "unknown/unknown")).to.equal(sha("1"));
  });

  it("counts amd64/v1 as amd64, and takes a higher variant only where there is no plain one", () => {
    expect(chosen("linux/amd64", "linux/amd64/v3", "linux/amd64/v1")).to.equal(sha("1"));
    expect(chosen("linux/amd64", "linux/amd64/v2")).to.equal(sha("0"));
  });

  it("takes an entry without a platform before it gives up", () => {
    expect(chosen("linux/amd64", "linux/s390x", undefined)).to.equal(sha("1"));
  });

  it("says what there is when nothing fits", () => {
    expect(() => chosen("linux/amd64", "linux/arm64", "windows/amd64"))
      .to.throw(/no manifest for linux\/amd64, only for: linux\/arm64, windows\/amd64/)
      .with.property("code", "notFound");
  });
});

describe("parseImageConfig", () => {
  it("reads what a container needs, and gives absent members as empty", () => {
    const read = parseImageConfig(
      bytes({
        architecture: "amd64",
        os: "linux",
        config: { Cmd: ["a"], User: "1:2", Env: null, Volumes: { "/v": {} } },
        rootfs: {},
      }),
    );
    expect(read.diffIds).to.deep.equal([]);
    expect(read.config).to.deep.equal({
      entrypoint: [],
      cmd: ["a"],
      env: [],
      workingDir: "",
      user: "1:2",
      stopSignal: "",
      labels: {},
      volumes: ["/v"],
      platform: "linux/amd64",
    });
  });
});

describe("chainIdsOf", () => {
  it("is the diff id for the lowest layer and the digest of both for the next (OCI image spec)", () => {
    const chain = chainIdsOf([digest(sha("a")), digest(sha("b"))]);
    expect(chain).to.deep.equal([sha("a"), "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c"]);
  });
});
