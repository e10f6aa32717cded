import { expect } from "chai";
import { digest } from "../../../../src/base/ids.js";
import { ContainerConfig, ImageSpec, Mount } from "../../../../src/gen/runtime/v1/api.js";
import { containerSpecOf } from "../../../../src/cri/map/container-spec.js";
import { criMount } from "../../../../src/cri/map/mounts.js";
import { withVolumeIds } from "../../../../src/runtime/volumes/image-volumes.js";

describe("an image as a volume", () => {
  const id = digest(`sha256:${"a".repeat(64)}`);
  const image = {
    id,
    repoTags: ["registry.example/data:1"],
    repoDigests: [`registry.example/data@sha256:${"d".repeat(64)}`],
    sizeBytes: 1n,
    user: "",
    platform: "linux/amd64",
    chainIds: [],
    pinned: false,
  };
  const shown = (imageRef: string): ImageSpec | undefined => {
    const mount = Mount.create({ containerPath: "/data", image: ImageSpec.create({ image: "data", imageRef }) });
    const given = ContainerConfig.create({ mounts: [Mount.create({ containerPath: "/other" }), mount] });
    const [, kept] = withVolumeIds(containerSpecOf(given), new Map([[1, image]])).mounts;
    return kept && criMount(kept).image;
  };

  it("shows in the container's status what PullImage has answered for it, and not a digest of its repository", () => {
    expect(shown("")).to.include({ image: id, imageRef: id });
  });

  it("keeps the reference that the request has", () => {
    expect(shown("registry.example/data:1")).to.include({ image: id, imageRef: "registry.example/data:1" });
  });
});
