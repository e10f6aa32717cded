import { expect } from "chai";
import { PodSandboxFilter, PodSandboxState } from "../../../../src/gen/runtime/v1/api.js";
import { listPodSandbox } from "../../../../src/cri/rpc/list-pod-sandbox.js";
import { podSandboxStatus } from "../../../../src/cri/rpc/pod-sandbox-status.js";
import { runPodSandbox } from "../../../../src/cri/rpc/run-pod-sandbox.js";
import { stopPodSandbox } from "../../../../src/cri/rpc/stop-pod-sandbox.js";
import { call, failureOf, makeWorld, podRequest, type World } from "../../runtime/pod/fakes.js";

describe("ListPodSandbox", () => {
  let world: World;
  let a: string;
  let b: string;

  beforeEach(async () => {
    world = await makeWorld();
    const run = async (uid: string, labels: Record<string, string>) => {
      const metadata = { name: "p", namespace: "n", uid, attempt: 0 };
      return (await runPodSandbox(podRequest({ metadata, labels }), call(), world.deps)).podSandboxId;
    };
    a = await run("1", { app: "web", tier: "front" });
    b = await run("2", { app: "web" });
    await stopPodSandbox({ podSandboxId: b }, call(), world.deps);
  });

  afterEach(async () => {
    await world.remove();
  });

  const list = async (filter?: Partial<PodSandboxFilter>) => {
    const request = { filter: filter === undefined ? undefined : { ...PodSandboxFilter.fromPartial({}), ...filter } };
    return (await listPodSandbox(request, call(), world.deps)).items.map(({ id }) => id);
  };

  it("shows all without a filter and with an empty one, in the order of their creation", async () => {
    expect(await list()).to.deep.equal([a, b]);
    expect(await list({})).to.deep.equal([a, b]);
    const items = (await listPodSandbox({ filter: undefined }, call(), world.deps)).items;
    expect((items[1]?.createdAt ?? 0n) > (items[0]?.createdAt ?? 0n)).to.equal(true);
  });

  it("selects by id, whole or its beginning", async () => {
    expect(await list({ id: a })).to.deep.equal([a]);
    expect(await list({ id: a.slice(0, 40) })).to.deep.equal([a]);
    expect(await list({ id: "x" })).to.deep.equal([]);
  });

  it("selects by state, READY being a value and not the lack of one", async () => {
    expect(await list({ state: { state: PodSandboxState.SANDBOX_READY } })).to.deep.equal([a]);
    expect(await list({ state: { state: PodSandboxState.SANDBOX_NOTREADY } })).to.deep.equal([b]);
  });

  it("selects by all labels of the selector", async () => {
    expect(await list({ labelSelector: { app: "web" } })).to.deep.equal([a, b]);
    expect(await list({ labelSelector: { app: "web", tier: "front" } })).to.deep.equal([a]);
    expect(await list({ labelSelector: { constructor: "" } })).to.deep.equal([]);
  });

  it("selects by everything at once", async () => {
    expect(await list({ id: b, state: { state: 1 }, labelSelector: { app: "web" } })).to.deep.equal([b]);
    expect(await list({ id: a, state: { state: 1 } })).to.deep.equal([]);
  });

  it("finds one sandbox by the beginning of its id, and refuses a beginning that fits several", async () => {
    const found = await podSandboxStatus({ podSandboxId: a.slice(0, 40), verbose: false }, call(), world.deps);
    expect(found.status?.id).to.equal(a);
    expect((await failureOf(podSandboxStatus({ podSandboxId: "", verbose: false }, call(), world.deps))).code).to.equal(
      "notFound",
    );
  });
});
