import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { newBoxId } from "../../../../src/base/ids.js";
import { runPodSandbox } from "../../../../src/cri/rpc/run-pod-sandbox.js";
import { stopPodSandbox } from "../../../../src/cri/rpc/stop-pod-sandbox.js";
import type { PodSandboxConfig } from "../../../../src/gen/runtime/v1/api.js";
import { call, failureOf, linuxConfig, makeWorld, podRequest, resources, type World } from "./fakes.js";

const config = `[handlers.quick]
annotations = ["memory_mib"]
ready = [{ vcpus = 1, memory_mib = 512, count = 1 }]
`;

describe("a pod whose handler has Boxes ready", () => {
  let world: World;

  beforeEach(async () => {
    world = await makeWorld({ config });
  });

  afterEach(async () => {
    await world.remove();
  });

  const run = async (change: Partial<PodSandboxConfig> = {}): Promise<string> => {
    const request = { ...podRequest(change), runtimeHandler: "quick" };
    return (await runPodSandbox(request, call(), world.deps)).podSandboxId;
  };
  const records = (): Promise<string[]> => readdir(join(world.directory, "root/records/sandboxes"));

  it("has the id of the Box that it took, and its size; its record is there before the Box leaves the pool", async () => {
    const id = newBoxId();
    const seen: string[] = [];
    world.boxes.pool.ready = { id, vcpus: 1, memoryMib: 512 };
    world.boxes.pool.beforeLeave = async () => {
      seen.push(...(await records()));
    };
    expect(await run({ linux: linuxConfig({ cgroupParent: "/pods/one" }) })).to.equal(id);
    expect(seen).to.deep.equal([`${id}.json`]);
    expect(world.boxes.pool.told).to.deep.equal(['leave for "/pods/one"']);
    expect(world.deps.sandboxes.require(id).record.size).to.deep.equal({ vcpus: 1, memoryMib: 512 });
    expect(world.boxes.specs[0]).to.deep.include({ id, vcpus: 1, memoryMib: 512 });
    expect([...world.kernel.netns]).to.deep.equal([]); // it is there already
    await stopPodSandbox({ podSandboxId: id }, call(), world.deps);
  });

  it("boots as ever where none would do, in a namespace of its own", async () => {
    const id = await run();
    expect(world.boxes.pool.told).to.deep.equal([]);
    expect(world.kernel.netns.size).to.equal(1);
    expect(world.deps.sandboxes.require(id).record.readyAtNs).to.not.equal(undefined);
  });

  it("gives none back: whatever fails once one was taken discards it", async () => {
    world.boxes.beforeBoot = () => Promise.reject(new Error("no such luck"));
    world.boxes.pool.ready = { id: newBoxId(), vcpus: 1, memoryMib: 512 };
    await failureOf(run());
    expect(world.boxes.pool.told).to.deep.equal(['leave for ""', "discard"]);
    expect(await records()).to.deep.equal([]);

    world.boxes.pool.beforeLeave = () => Promise.reject(new Error("the disk is full"));
    world.boxes.pool.ready = { id: newBoxId(), vcpus: 1, memoryMib: 512 };
    await failureOf(run());
    expect(world.boxes.pool.told).to.deep.equal(['leave for ""', "discard", "discard"]);
    expect(await records()).to.deep.equal([]);
  });

  it("takes a larger one only where nothing says how much it may have", async () => {
    const small = {
      linux: linuxConfig({
        resources: resources({ memoryLimitInBytes: 300n << 20n, cpuQuota: 100_000n, cpuPeriod: 100_000n }),
      }),
    };
    await run(small);
    await run({
      metadata: { name: "two", namespace: "shop", uid: "u-2", attempt: 0 },
      annotations: { "a3s-box/memory-mib": "300" },
    });
    const [first, second] = world.boxes.pool.wishes;
    expect(first).to.deep.include({
      vcpus: 1,
      memoryMib: 300,
      takesLarger: true,
      tap: null,
      mapsOwners: false,
      driver: "qemu",
    });
    expect(second).to.deep.include({ memoryMib: 300, takesLarger: false });
    expect(first?.among).to.deep.equal([{ vcpus: 1, memoryMib: 512 }]);
  });

  it("of another handler asks for none", async () => {
    await runPodSandbox(podRequest(), call(), world.deps);
    expect(world.boxes.pool.wishes).to.deep.equal([]);
  });
});
