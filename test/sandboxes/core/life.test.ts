import { expect } from "chai";
import { neverAborted } from "../../../src/base/signals.js";
import { shownContainers, shownPods } from "../../../src/cri/shown.js";
import { execAndWait } from "../../../src/runtime/exec/exec.js";
import type { SandboxView } from "../../../src/sandboxes/core/sandbox.js";
import { freshCore, someCaller, wantedSandbox, type TestCore } from "../../support/sandboxes/open-core.js";
import { eventually } from "../../support/wait.js";

describe("a sandbox of the agents' edge", () => {
  let core: TestCore;
  before(async () => {
    core = await freshCore();
  });
  after(async () => {
    await core.remove();
  });

  const create = async (more: Parameters<typeof wantedSandbox>[0] = {}): Promise<SandboxView> =>
    await core.sandboxes.create(someCaller, wantedSandbox(more), neverAborted);

  const run = async (view: SandboxView, ...args: string[]): Promise<string> => {
    const container = core.engine.containers.require(view.containerId);
    const { stdout, stderr } = await execAndWait(container, args, 30_000, core.engine, neverAborted);
    return (stdout.toString() + stderr.toString()).trim();
  };

  it("is made, found, listed, extended and ended", async () => {
    const { sandboxes, engine } = core;
    const view = await create({ env: { GREETING: "hello" }, metadata: { app: "a" }, user: "user", workingDir: "/tmp" });
    expect(view.id).to.match(/^[a-z0-9]{20}$/);
    expect(view).to.deep.include({ tenant: "team-a", state: "running", vcpus: 1, memoryMib: 256, network: "none" });
    expect(view).to.deep.include({ env: { GREETING: "hello" }, user: "user", workingDir: "/tmp", mounts: [] });
    expect(sandboxes.get(someCaller, view.id)).to.deep.equal(view);
    expect(sandboxes.list(someCaller, { metadata: { app: "a" } }, { limit: 10 })).to.deep.equal({ items: [view] });
    expect(sandboxes.list(someCaller, { metadata: { app: "b" } }, { limit: 10 })).to.deep.equal({ items: [] });
    expect(await run(view, "sh", "-c", "echo $GREETING; id -un; pwd; cat /proc/1/comm")).to.equal(
      "hello\nuser\n/tmp\na3s-init",
    );

    const processes = sandboxes.processes(someCaller, view.id);
    const wanted = {
      args: ["echo", "-n", "written"],
      env: {},
      workingDir: "",
      user: "",
      stdin: false,
      tag: "",
      limitMs: 0,
    };
    const { id: number } = await processes.start(wanted, neverAborted);
    const said: string[] = [];
    for await (const event of processes.connect(number, "start", neverAborted)) {
      if (event.kind === "output") said.push(Buffer.from(event.data).toString());
    }
    expect(said.join("")).to.equal("written");

    const longer = await sandboxes.extend(someCaller, view.id, 600_000, "later");
    expect(longer.endsAtMs).to.be.within(view.endsAtMs + 200_000, Date.now() + 600_000);
    expect((await sandboxes.extend(someCaller, view.id, 1000, "later")).endsAtMs).to.equal(longer.endsAtMs);

    // kubelet would end what it has not made; `crictl pods --label a3s.dev/sandbox=…` is told of it.
    expect(shownPods(undefined, engine)).to.deep.equal([]);
    expect(shownContainers(undefined, engine)).to.deep.equal([]);
    const labelSelector = { "a3s.dev/sandbox": view.id };
    expect(shownPods({ id: "", state: undefined, labelSelector }, engine).map(({ id }) => id)).to.deep.equal([
      view.podId,
    ]);

    await sandboxes.end(someCaller, view.id, neverAborted);
    expect(() => sandboxes.get(someCaller, view.id)).to.throw("was not found");
    expect(engine.sandboxes.all()).to.deep.equal([]);
  });

  it("ends when its time is over", async () => {
    const view = await create({ lifeMs: 1500 });
    await eventually(
      "its pod has gone",
      15_000,
      () => core.engine.sandboxes.find(view.podId) === undefined || undefined,
    );
    expect(Date.now()).to.be.greaterThan(view.endsAtMs);
  });
});
