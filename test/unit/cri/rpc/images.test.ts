import { expect } from "chai";
import { createLogger } from "../../../../src/base/log.js";
import { digest } from "../../../../src/base/ids.js";
import { configOf } from "../../../../src/config/load.js";
import { ImageSpec, PullImageRequest } from "../../../../src/gen/runtime/v1/api.js";
import type { Image } from "../../../../src/image/image-store.js";
import type { CallContext, Deps } from "../../../../src/cri/deps.js";
import { imageStatus } from "../../../../src/cri/rpc/image-status.js";
import { listImages } from "../../../../src/cri/rpc/list-images.js";
import { pullImage } from "../../../../src/cri/rpc/pull-image.js";
import { streamImages } from "../../../../src/cri/rpc/stream-images.js";
import { image as imageConfig } from "../../runtime/spec/support.js";

function imageNumber(number: number): Image {
  const hex = number.toString(16).padStart(64, "0");
  return {
    id: digest(`sha256:${hex}`),
    repoTags: [`registry.example/image:${number}`],
    repoDigests: [],
    sizeBytes: 5n,
    user: imageConfig.user,
    platform: imageConfig.platform,
    chainIds: [digest(`sha256:${hex}`), digest(`sha256:${"f".repeat(64)}`)],
    pinned: number === 1,
  };
}

function depsWith(images: readonly Image[]): Deps {
  const store = {
    list: () => Promise.resolve(images),
    find: (reference: string) => Promise.resolve(images.find(({ repoTags }) => repoTags.includes(reference))),
    readConfig: () => Promise.resolve('{"os":"linux","config":{"Volumes":{"/data":{}}}}'),
  };
  return { images: store, config: configOf(new Map()) } as unknown as Deps;
}

const call: CallContext = { signal: new AbortController().signal, rpc: "Test", log: createLogger("error") };
const spec = (image: string): ImageSpec => ImageSpec.create({ image });

describe("the image service", () => {
  const deps = depsWith(Array.from({ length: 250 }, (_, number) => imageNumber(number)));

  it("streams what it lists, each image once, in parts that are not empty", async () => {
    const parts: number[] = [];
    const ids: string[] = [];
    for await (const { images } of streamImages({ filter: undefined }, call, deps)) {
      parts.push(images.length);
      ids.push(...images.map(({ id }) => id));
    }
    expect(parts.every((length) => length > 0) && parts.length > 1).to.equal(true);
    expect(ids).to.deep.equal((await listImages({ filter: undefined }, call, deps)).images.map(({ id }) => id));
  });

  it("streams nothing where there is nothing", async () => {
    for await (const { images } of streamImages({ filter: undefined }, call, depsWith([])))
      expect(images).to.equal(undefined);
  });

  it("lists and streams the one image that a filter names", async () => {
    for (const [name, count] of [
      ["registry.example/image:1", 1],
      ["registry.example/none:1", 0],
      ["", 250],
    ] as const) {
      const filter = { image: spec(name) };
      const { images } = await listImages({ filter }, call, deps);
      expect(images, name).to.have.length(count);
      const streamed = [];
      for await (const part of streamImages({ filter }, call, deps)) streamed.push(...part.images);
      expect(streamed).to.deep.equal(images);
    }
  });

  it("lists all tags of a repository that is named without one", async () => {
    const some = [1, 2, 3].map(imageNumber);
    const other = { ...imageNumber(4), repoTags: ["registry.example/image-2:1"] };
    const untagged = {
      ...imageNumber(5),
      repoTags: [],
      repoDigests: [`registry.example/image@sha256:${"d".repeat(64)}`],
    };
    const listed = await listImages(
      { filter: { image: spec("registry.example/image") } },
      call,
      depsWith([...some, other, untagged]),
    );
    expect(listed.images.map(({ id }) => id)).to.deep.equal([...some, untagged].map(({ id }) => id));
  });

  it("tells a pinned image, and the whole config when it is to be verbose", async () => {
    const image = spec("registry.example/image:1");
    const status = await imageStatus({ image, verbose: true }, call, deps);
    expect(status.image?.pinned).to.equal(true);
    expect(JSON.parse(status.info["info"] ?? "")).to.deep.equal({
      chainID: `sha256:${"f".repeat(64)}`,
      imageSpec: { os: "linux", config: { Volumes: { "/data": {} } } },
    });
    expect((await imageStatus({ image, verbose: false }, call, deps)).info).to.deep.equal({});
  });

  it("answers for an image that is not there without an image, and without an error", async () => {
    const answer = await imageStatus({ image: spec("registry.example/none:1"), verbose: true }, call, deps);
    expect(answer).to.deep.equal({ image: undefined, info: {} });
  });

  it("refuses to pull for a handler that nobody knows", async () => {
    const image = { ...spec("registry.example/image:1"), runtimeHandler: "wasm" };
    const thrown = await pullImage(PullImageRequest.create({ image }), call, deps).catch((caught: unknown) => caught);
    expect(thrown).to.have.property("code", "invalidArgument");
  });
});
