import { expect } from "chai";
import { Signal, type Image, type Mount } from "../../src/gen/runtime/v1/api.js";
import { failure, image, runtime, status } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busyboxSource } from "../support/images.js";
import {
  containerStatus,
  createContainer,
  exec,
  removePod,
  runPod,
  runToEnd,
  shell,
  startContainer,
} from "../support/pods.js";
import { pushImage, pushIndex, startRegistry, type TestRegistry } from "../support/registry.js";
import { buildLayer } from "../support/tar-builder.js";

describe("Images from a registry", () => {
  let registry: TestRegistry;
  let daemon: Daemon;
  before(async () => {
    registry = await startRegistry();
    daemon = await Daemon.start({ config: `[image]\nplain_http = ["${registry.host}"]\n` });
  });
  after(async () => {
    await daemon.remove();
    await registry.stop();
  });
  afterEach(async () => {
    for (const { id } of await list()) await remove(id);
  });

  const spec = (name: string) => ({
    image: name,
    annotations: {},
    userSpecifiedImage: "",
    runtimeHandler: "",
    imageRef: "",
  });
  const pull = async (name: string): Promise<string> =>
    (await daemon.cri.call(image.pullImage, { image: spec(name) })).imageRef;
  const find = async (name: string): Promise<Image | undefined> =>
    (await daemon.cri.call(image.imageStatus, { image: spec(name) })).image;
  const list = async (): Promise<Image[]> => (await daemon.cri.call(image.listImages, {})).images;
  const remove = async (name: string): Promise<void> => {
    await daemon.cri.call(image.removeImage, { image: spec(name) });
  };

  it("are pulled by tag, listed at once, and gone at once when removed", async () => {
    const pushed = await pushImage(registry.host, "by-tag", "1", await busyboxSource());
    const id = await pull(pushed.reference);
    expect(id).to.equal(pushed.configDigest);
    const found = await find(pushed.reference);
    expect(found?.id).to.equal(id);
    expect(found?.repoTags).to.deep.equal([pushed.reference]);
    expect(found?.repoDigests).to.deep.equal([`${registry.host}/by-tag@${pushed.digest}`]);
    expect(Number(found?.size)).to.be.greaterThan(100_000);
    expect((await list()).map((one) => one.id)).to.deep.equal([id]);
    await remove(id);
    expect(await find(pushed.reference)).to.equal(undefined);
    expect(await list()).to.deep.equal([]);
  });

  it("have the tag latest when pulled without one", async () => {
    await pushImage(registry.host, "plain", "latest", await busyboxSource({ Cmd: ["true"] }));
    await pull(`${registry.host}/plain`);
    expect((await find(`${registry.host}/plain`))?.repoTags).to.deep.equal([`${registry.host}/plain:latest`]);
  });

  it("have no tag, but a digest, when pulled by digest", async () => {
    const pushed = await pushImage(registry.host, "by-digest", "1", await busyboxSource());
    const reference = `${registry.host}/by-digest@${pushed.digest}`;
    const id = await pull(reference);
    expect(id).to.equal(pushed.configDigest);
    const found = await find(reference);
    expect(found?.repoTags).to.deep.equal([]);
    expect(found?.repoDigests).to.deep.equal([reference]);
  });

  it("are found by id, tag and digest alike, with the same answer", async () => {
    const pushed = await pushImage(registry.host, "alike", "1", await busyboxSource());
    const id = await pull(pushed.reference);
    const byId = await find(id);
    expect(byId?.id).to.equal(id);
    for (const name of [
      pushed.reference,
      id.slice("sha256:".length),
      ...(byId?.repoTags ?? []),
      ...(byId?.repoDigests ?? []),
    ]) {
      expect(await find(name), name).to.deep.equal(byId);
    }
  });

  it("with one content and three tags are one image with three tags, and all go with it", async () => {
    const source = await busyboxSource({ Cmd: ["three-tags"] });
    const tags = ["a", "b", "c"].map((tag) => `${registry.host}/tags:${tag}`);
    for (const tag of ["a", "b", "c"]) await pushImage(registry.host, "tags", tag, source);
    const ids = new Set<string>();
    for (const tag of tags) ids.add(await pull(tag));
    expect(ids.size).to.equal(1);
    const [only] = await list();
    expect(only?.repoTags).to.have.members(tags);
    await remove(tags[1] ?? "");
    expect(await list()).to.deep.equal([]);
  });

  it("with one content in two repositories have one id, and removing it removes both names", async () => {
    const source = await busyboxSource({ Cmd: ["two-repositories"] });
    const [one, two] = [
      await pushImage(registry.host, "repo-one", "1", source),
      await pushImage(registry.host, "repo-two", "1", source),
    ];
    const id = await pull(one.reference);
    expect(await pull(two.reference)).to.equal(id);
    expect((await find(id))?.repoTags).to.have.members([one.reference, two.reference]);
    await remove(id);
    expect(await find(two.reference)).to.equal(undefined);
  });

  it("tell their user: a number as uid, a name as username, the group left out", async () => {
    const users: [string, bigint | undefined, string][] = [
      ["1002", 1002n, ""],
      ["user", undefined, "user"],
      ["1003:50000", 1003n, ""],
      ["user:extra", undefined, "user"],
      ["", undefined, ""],
    ];
    for (const [user, uid, username] of users) {
      const pushed = await pushImage(registry.host, "users", "1", await busyboxSource({ User: user }));
      await pull(pushed.reference);
      const found = await find(pushed.configDigest);
      expect([found?.uid?.value, found?.username], user).to.deep.equal([uid, username]);
    }
  });

  it("of a list with several platforms is the one for this machine", async () => {
    const source = await busyboxSource({ Cmd: ["list"] });
    const other = { layers: [buildLayer([{ name: "arm", content: "arm" }])], architecture: "arm64" };
    for (const docker of [false, true]) {
      const pushed = await pushIndex(registry.host, docker ? "docker-list" : "oci-index", "1", [
        { ...other, docker },
        { ...source, docker },
      ]);
      expect(await pull(pushed.reference)).to.equal(pushed.configDigest);
      expect((await find(pushed.reference))?.repoDigests[0]).to.equal(
        `${pushed.reference.replace(/:1$/, "")}@${pushed.digest}`,
      );
    }
  });

  it("are pulled once when many ask at once, and are removed by any of many", async () => {
    const pushed = await pushImage(registry.host, "many", "1", await busyboxSource({ Cmd: ["many"] }));
    const ids = await Promise.all(Array.from({ length: 6 }, () => pull(pushed.reference)));
    expect(new Set(ids)).to.deep.equal(new Set([pushed.configDigest]));
    await Promise.all(Array.from({ length: 6 }, () => remove(pushed.reference)));
    expect(await find(pushed.reference)).to.equal(undefined);
  });

  it("give the caller's deadline as DEADLINE_EXCEEDED, and a pull after it succeeds", async () => {
    const pushed = await pushImage(registry.host, "late", "1", await busyboxSource({ Cmd: ["late"] }));
    await failure(
      daemon.cri.call(image.pullImage, { image: spec(pushed.reference) }, { exactMs: 1 }),
      status.DEADLINE_EXCEEDED,
      /./,
    );
    expect(await pull(pushed.reference)).to.equal(pushed.configDigest);
  });

  it("run: layers over each other, with whiteouts, entrypoint, user, environment, directory and stop signal", async () => {
    const second = buildLayer([
      { name: "etc/.wh.group", content: "" },
      { name: "home/user/.wh..wh..opq", content: "" },
      { name: "opt/", type: "directory" },
      { name: "opt/tool", mode: 0o4755, uid: 1000, content: "#!/bin/sh\necho tool\n" },
      { name: "opt/hard", type: "hardlink", link: "opt/tool" },
    ]);
    const third = buildLayer([
      { name: "home/user/third", content: "3\n" },
      { name: "bin/.wh.tr", content: "" },
    ]);
    const config = {
      Entrypoint: [
        "sh",
        "-c",
        'id -u; pwd; echo "$MADE" "$0" "$@"; cat third; ls /etc/group /bin/tr; stat -c "%a %u %h" /opt/tool',
      ],
      Cmd: ["zero", "one"],
      Env: ["PATH=/bin", "MADE=by the image"],
      User: "user",
      WorkingDir: "/home/user",
      StopSignal: "SIGQUIT",
    };
    const pushed = await pushImage(registry.host, "layers", "1", await busyboxSource(config, [second, third]));
    await pull(pushed.reference);
    const pod = await runPod(daemon);
    try {
      const part = { image: { image: pushed.reference }, command: [] };
      expect(await runToEnd(daemon, pod, "", part)).to.equal(
        "1000\n/home/user\nby the image zero one\n3\n4755 1000 2\n",
      );
      const id = await createContainer(daemon, pod, part);
      const found = await containerStatus(daemon, id);
      expect(found.stopSignal).to.equal(Signal.SIGQUIT);
    } finally {
      await removePod(daemon, pod);
    }
  });

  it("are volumes: read-only, whole or a part, programs run, and what is used stays", async () => {
    const tool = buildLayer([
      { name: "tools/bin/", type: "directory" },
      { name: "tools/bin/hello", mode: 0o755, content: "#!/bin/sh\necho hello\n" },
      { name: "latest", type: "symlink", link: "/tools/bin" },
    ]);
    const over = buildLayer([{ name: "tools/note", content: "of the upper layer\n" }]);
    const single = await pushImage(registry.host, "volume-one", "1", { layers: [tool] });
    const double = await pushImage(registry.host, "volume-two", "1", { layers: [tool, over] });
    const base = await pushImage(registry.host, "volume-base", "1", await busyboxSource());
    const pulled = new Map<string, string>();
    for (const { reference } of [single, double, base]) pulled.set(reference, await pull(reference));
    const volume = (name: string, containerPath: string, imageSubPath = "", readonly = true): Partial<Mount> => ({
      containerPath,
      image: spec(name),
      imageSubPath,
      readonly,
    });
    const pod = await runPod(daemon);
    try {
      const part = { image: { image: base.reference } };
      const mounts = [
        volume(single.configDigest, "/one"),
        volume(double.reference, "/two"),
        volume(single.configDigest, "/part", "latest"),
        volume(double.reference, "/file", "tools/note"),
      ];
      const id = await startContainer(daemon, pod, { ...part, mounts });
      expect(await shell(daemon, id, "/one/tools/bin/hello; cat /two/tools/note; /part/hello; cat /file")).to.equal(
        "hello\nof the upper layer\nhello\nof the upper layer\n",
      );
      for (const path of ["/one/x", "/two/tools/x", "/part/hello", "/file"]) {
        expect((await exec(daemon, id, ["sh", "-c", `echo x >${path}`])).exitCode, path).to.not.equal(0);
      }
      const shown = (await containerStatus(daemon, id)).mounts.map((mount) => mount.image);
      expect(shown.map((image) => image?.image)).to.deep.equal(
        [single, double, single, double].map(({ configDigest }) => configDigest),
      );
      expect(shown[1]?.imageRef, "what PullImage has answered").to.equal(pulled.get(double.reference));
      await remove(double.reference);
      expect(await shell(daemon, id, "cat /two/tools/note")).to.equal("of the upper layer\n");
      for (const [wrong, says] of [
        [volume(single.configDigest, "/v", "tools/none"), /ImageVolumeMountFailed: .*no "tools\/none"/],
        [volume(single.configDigest, "/v", "../../../etc/shadow"), /ImageVolumeMountFailed/],
        [volume(double.reference, "/v"), /ImageVolumeMountFailed: .*not on this node/],
        [volume(single.configDigest, "/v", "", false), /read-only/],
        [{ ...volume(single.configDigest, "/v"), hostPath: "/tmp" }, /both an image and the host_path/],
      ] as const) {
        const thrown: unknown = await createContainer(daemon, pod, { ...part, mounts: [wrong] }).catch(
          (caught: unknown) => caught,
        );
        expect(String(thrown)).to.match(says);
      }
    } finally {
      await removePod(daemon, pod);
    }
  });

  it("in use by a container have one id in image, list, status and container", async () => {
    const pushed = await pushImage(registry.host, "used", "1", await busyboxSource({ Cmd: ["used"] }));
    const id = await pull(pushed.reference);
    const pod = await runPod(daemon);
    try {
      const containerId = await createContainer(daemon, pod, { image: { image: pushed.reference } });
      const found = await containerStatus(daemon, containerId);
      const { containers } = await daemon.cri.call(runtime.listContainers, {});
      expect([found.imageId, containers[0]?.imageId, (await find(pushed.reference))?.id]).to.deep.equal([id, id, id]);
      expect(found.imageRef).to.equal(`${registry.host}/used@${pushed.digest}`);
    } finally {
      await removePod(daemon, pod);
    }
  });
});
