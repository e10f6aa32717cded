import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { ContainerState } from "../../../../src/gen/runtime/v1/api.js";
import { containerStatus } from "../../../../src/cri/rpc/container-status.js";
import { createContainer } from "../../../../src/cri/rpc/create-container.js";
import { listContainers } from "../../../../src/cri/rpc/list-containers.js";
import { removeContainer } from "../../../../src/cri/rpc/remove-container.js";
import { startContainer } from "../../../../src/cri/rpc/start-container.js";
import {
  call,
  containerRequest,
  failureOf,
  fakeCompiler,
  makeWorld,
  type World,
} from "../../runtime/container/fakes.js";
import { mount, security } from "../../runtime/spec/support.js";

describe("CreateContainer", () => {
  let world: World;

  beforeEach(async () => {
    world = await makeWorld();
  });

  afterEach(async () => {
    await world.remove();
  });

  const create = (members: Parameters<typeof containerRequest>[1] = {}, signal?: AbortSignal) =>
    createContainer(containerRequest(world, members), call(signal), world.deps);
  const specOf = (id: string): { mounts: { destination: string; source: string }[] } => {
    const text = Buffer.from(world.box.agent.created.get(id)?.ociSpec ?? "").toString();
    return JSON.parse(text) as { mounts: { destination: string; source: string }[] };
  };
  const expectNothingLeft = async () => {
    expect([...world.images.snapshots, ...world.box.shared.keys(), ...world.box.agent.created.keys()]).to.deep.equal(
      [],
    );
    expect(await readdir(join(world.directory, "root/records/containers"))).to.deep.equal([]);
    expect(world.deps.containers.list()).to.deep.equal([]);
  };

  it("makes a session over a snapshot and shows it as CREATED, with all that kubelet needs", async () => {
    const { containerId } = await create({ labels: { a: "b" }, annotations: { hash: "1" } });
    const { status } = await containerStatus({ containerId, verbose: false }, call(), world.deps);
    expect(status?.state).to.equal(ContainerState.CONTAINER_CREATED);
    expect(status?.image?.image).to.equal("docker.io/library/busybox:latest");
    expect(status?.imageRef).to.match(/^docker.io\/library\/busybox@sha256:/);
    expect(status?.imageId).to.equal(`sha256:${"b".repeat(64)}`);
    expect([status?.labels, status?.annotations]).to.deep.equal([{ a: "b" }, { hash: "1" }]);
    expect(status?.logPath).to.equal(join(world.directory, "logs/app/0.log"));
    expect([...world.images.snapshots]).to.deep.equal([containerId]);
    expect(world.box.agent.created.get(containerId)?.heldPaths).to.have.length(4); // root and the pod's three files
  });

  it("has the agent lay the root over the image's layers, where its guest can", async () => {
    world.box.agent.layeredRoots = true;
    const { containerId } = await create();
    const made = world.box.agent.created.get(containerId);
    const { layers = [], written = "" } = made?.root ?? {};
    expect(layers).to.have.length(1);
    expect(written).to.match(/^\/v\/written/);
    for (const path of [...layers, written]) expect(made?.heldPaths).to.include(path);
    const spec = JSON.parse(Buffer.from(made?.ociSpec ?? "").toString()) as { root: { path: string } };
    expect(spec.root.path).to.equal(`/run/roots/${containerId}`);
    await removeContainer({ containerId }, call(), world.deps);
    await expectNothingLeft();
  });

  it("leaves nothing where the Box does not say what its guest can, and goes on once it does", async () => {
    world.box.agent.beforeGuest = () => Promise.reject(new RuntimeError("unavailable", "no answer"));
    expect((await failureOf(create())).message)
      .to.include("ask for layered roots")
      .and.include("no answer");
    await expectNothingLeft();
    world.box.agent.beforeGuest = () => Promise.resolve();
    await create();
  });

  it("binds the real place of a mount's source, and echoes the mount as it was given", async () => {
    await mkdir(join(world.directory, "real"));
    await symlink("real", join(world.directory, "link"));
    const given = mount({ hostPath: join(world.directory, "link"), containerPath: "/data", readonly: true });
    const { containerId } = await create({ mounts: [given] });
    expect([...world.box.shared.values()]).to.include(`${join(world.directory, "real")} ro`);
    const { status } = await containerStatus({ containerId, verbose: false }, call(), world.deps);
    expect(status?.mounts).to.deep.equal([given]);
  });

  it("leaves out the pod's own /etc/hosts when the container brings one", async () => {
    await writeFile(join(world.directory, "hosts"), "");
    const { containerId } = await create({
      mounts: [mount({ hostPath: join(world.directory, "hosts"), containerPath: "/etc/hosts" })],
    });
    const hosts = specOf(containerId).mounts.filter(({ destination }) => destination === "/etc/hosts");
    expect(hosts).to.have.length(1);
  });

  it("sends the seccomp filter that the compiler makes of the profile, and makes each once", async () => {
    await fakeCompiler(world, `cat > /dev/null; echo x >> "${world.directory}/runs"; printf 12345678`);
    const seccomp = { profileType: 0 as const, localhostRef: "" };
    const linux = { resources: undefined, securityContext: security({ seccomp }) };
    for (const name of ["one", "two"]) {
      const { containerId } = await create({ linux, metadata: { name, attempt: 0 } });
      expect(Buffer.from(world.box.agent.created.get(containerId)?.seccompBpf ?? "").toString()).to.equal("12345678");
    }
    const { readFile } = await import("node:fs/promises");
    expect(await readFile(join(world.directory, "runs"), "utf8")).to.equal("x\n");
  });

  it("refuses a profile that the compiler refuses, with its words", async () => {
    await fakeCompiler(world, "cat > /dev/null; echo 'unknown action' >&2; exit 1");
    const seccomp = { profileType: 0 as const, localhostRef: "" };
    const linux = { resources: undefined, securityContext: security({ seccomp }) };
    expect((await failureOf(create({ linux }))).message).to.include("unknown action");
    await expectNothingLeft();
  });

  it("answers alreadyExists with the id once it has succeeded, and goes on when the container is removed", async () => {
    const { containerId } = await create();
    const again = await failureOf(create());
    expect(again.code).to.equal("alreadyExists");
    expect(again.message).to.include(containerId);
    await removeContainer({ containerId }, call(), world.deps);
    await create();
  });

  it("is joined by a repeat while it is under way, although the first caller has gone", async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    world.box.agent.beforeCreate = () => gate;
    const impatient = new AbortController();
    const first = failureOf(create({}, impatient.signal));
    const second = create();
    impatient.abort(new RuntimeError("canceled", "the caller gave up"));
    expect((await first).code).to.equal("canceled");
    open();
    const { containerId } = await second;
    const { containers } = await listContainers({ filter: undefined }, call(), world.deps);
    expect(containers.map(({ id }) => id)).to.deep.equal([containerId]);
  });

  it("takes everything back when a step fails, and starts afresh when repeated", async () => {
    world.box.agent.beforeCreate = () => Promise.reject(new RuntimeError("internal", "no room"));
    const failure = await failureOf(create());
    expect(failure.message).to.include("no room");
    await expectNothingLeft();
    world.box.agent.beforeCreate = () => Promise.resolve();
    await create();
  });

  it("takes everything back when the sandbox is stopped meanwhile", async () => {
    world.box.agent.beforeCreate = () => world.deps.sandboxes.update(world.sandbox, { end: { atNs: 1n, reason: "x" } });
    expect((await failureOf(create())).code).to.equal("failedPrecondition");
    await expectNothingLeft();
  });

  const cause = Object.assign(new Error("of the agent"), { code: 13, details: "of the agent" });
  const refusals: readonly [string, RuntimeError][] = [
    ["the program is not there", new RuntimeError("notFound", 'executable file not found: "/nope"', { cause })],
    ["a directory can't be entered", new RuntimeError("internal", "chdir to `/nope`: Not a directory", { cause })],
    ["the program may not be executed", new RuntimeError("invalidArgument", "open executable: `/nope`", { cause })],
  ];
  for (const [why, refusal] of refusals) {
    it(`leaves it to StartContainer to say that ${why}`, async () => {
      world.box.agent.beforeCreate = () => Promise.reject(refusal);
      const { containerId } = await create({ command: ["/nope"] });
      expect((await failureOf(startContainer({ containerId }, call(), world.deps))).message).to.include("/nope");
      const { status } = await containerStatus({ containerId, verbose: false }, call(), world.deps);
      expect([status?.state, status?.reason, status?.exitCode]).to.deep.equal([2, "StartError", 128]);
      await removeContainer({ containerId }, call(), world.deps);
      await expectNothingLeft();
    });
  }

  it("has succeeded once its record is there, whatever comes of the pod's CPUs after that", async () => {
    const release = world.deps.containers.together.cpuSets.release.bind(world.deps.containers.together.cpuSets);
    world.deps.containers.together.cpuSets.release = async (box, id) => {
      await release(box, id);
      throw new RuntimeError("internal", "the group is gone");
    };
    const { containerId } = await create();
    expect((await failureOf(create())).code).to.equal("alreadyExists");
    expect(world.deps.containers.find(containerId)?.state).to.equal("created");
    expect(world.log.join("")).to.contain("the group is gone");
  });

  const refused: readonly [string, Parameters<typeof containerRequest>[1], string, string][] = [
    ["an empty name", { metadata: { name: "", attempt: 0 } }, "invalidArgument", "name is empty"],
    ["no image", { image: undefined }, "invalidArgument", "image is empty"],
    [
      "an image that is not there",
      { image: { image: "ghost", annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" } },
      "notFound",
      "pull it first",
    ],
    ["a relative mount source", { mounts: [mount({ hostPath: "data" })] }, "invalidArgument", "absolute"],
    ["a missing mount source", { mounts: [mount({ hostPath: "/no/such" })] }, "invalidArgument", "does not exist"],
    ["a device as mount source", { mounts: [mount({ hostPath: "/dev/null" })] }, "invalidArgument", "device"],
    ["a log outside its directory", { logPath: "../../etc/cron.d/x" }, "invalidArgument", "log_path"],
  ];
  for (const [name, members, code, message] of refused) {
    it(`refuses ${name}, and leaves nothing`, async () => {
      const failure = await failureOf(create(members));
      expect([failure.code, failure.message.includes(message)], failure.message).to.deep.equal([code, true]);
      await expectNothingLeft();
    });
  }

  it("refuses an unknown sandbox and one that has stopped", async () => {
    const request = { ...containerRequest(world), podSandboxId: "0".repeat(64) };
    expect((await failureOf(createContainer(request, call(), world.deps))).code).to.equal("notFound");
    await world.deps.sandboxes.update(world.sandbox, { end: { atNs: 1n, reason: "stopped" } });
    expect((await failureOf(create())).code).to.equal("failedPrecondition");
  });
});
