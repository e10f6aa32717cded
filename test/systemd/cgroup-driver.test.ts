/** cgroup.driver = "systemd", with systemd as number 1 (test/support/systemd): each Box is a scope of its pod's slice. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { CgroupDriver, PodSandboxState } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import { Daemon, driver, nativeHandler } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import {
  createContainer,
  podStatus,
  removePod,
  runPod,
  shell,
  startContainer,
  vmmPid,
  type Pod,
} from "../support/pods.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";

const run = promisify(execFile);
const slice = "kubepods-besteffort-podab_12.slice";
const slicePath = `/kubepods.slice/kubepods-besteffort.slice/${slice}`;

describe("the systemd cgroup driver", function () {
  this.timeout(limit(90_000));
  let daemon: Daemon;
  let atStart: MachineState;

  before(async () => {
    if (process.env["A3S_TEST_SYSTEMD"] === undefined) throw new Error("run it by npm run test:systemd");
    const config = `[cgroup]\ndriver = "systemd"\n${nativeHandler}`;
    daemon = await Daemon.start({ images: [await busybox()], config });
    atStart = await daemon.machine();
  });

  afterEach("no scope is left, failed ones neither", async () => {
    await eventually("systemd has no scope of a Box", 10_000, async () => {
      const { stdout } = await run("systemctl", ["list-units", "--all", "--plain", "--legend=no", "a3s-box-*.scope"]);
      return stdout === "" ? true : undefined;
    });
  });

  after("nothing is left", async () => {
    try {
      await expectSameMachine(daemon.scope, atStart);
    } finally {
      await daemon.remove();
    }
  });

  const scopeOf = ({ id }: Pick<Pod, "id">): string => `a3s-box-${id}.scope`;
  const groupOf = (pod: Pick<Pod, "id">): string => `${slicePath}/${scopeOf(pod)}`;
  const podIn = (cgroupParent: string, handler: string): Promise<Pod> =>
    runPod(daemon, { linux: { cgroupParent } }, handler);

  async function shown(unit: string, property: string): Promise<string> {
    const { stdout } = await run("systemctl", ["show", "--value", "-p", property, unit]);
    return stdout.trim();
  }

  async function programsIn(group: string): Promise<string[]> {
    const procs = await readFile(join("/sys/fs/cgroup", group, "cgroup.procs"), "utf8");
    const names = procs
      .trim()
      .split("\n")
      .map((pid) => readFile(`/proc/${pid}/comm`, "utf8"));
    return (await Promise.all(names)).map((name) => name.trim()).sort();
  }

  it("is told to kubelet", async () => {
    const { linux } = await daemon.cri.call(runtime.runtimeConfig, {});
    expect(linux?.cgroupDriver).to.equal(CgroupDriver.SYSTEMD);
  });

  for (const parent of [slice, slicePath]) {
    it(`makes a delegated scope, with containers below it, in ${parent}`, async () => {
      const pod = await podIn(parent, "native");
      try {
        const container = await startContainer(daemon, pod);
        expect(await shown(scopeOf(pod), "ControlGroup")).to.equal(groupOf(pod));
        expect(await shown(scopeOf(pod), "Slice")).to.equal(slice);
        expect(await shown(scopeOf(pod), "Delegate")).to.equal("yes");
        expect(await shown(scopeOf(pod), "TasksMax")).to.equal("infinity");
        expect(await programsIn(`${groupOf(pod)}/${container}`)).to.deep.equal(["top"]);
        expect(await programsIn(`${groupOf(pod)}/agent`)).to.satisfy(
          (names: readonly string[]) => !names.includes("sleep"),
        );
        expect(await shell(daemon, container, "echo in")).to.equal("in\n");
        await run("systemctl", ["daemon-reload"]);
        expect(await programsIn(`${groupOf(pod)}/${container}`)).to.deep.equal(["top"]);
      } finally {
        await removePod(daemon, pod);
      }
    });
  }

  it("limits and measures containers below the scope, where the hierarchy has the controllers", async function () {
    const controllers = await readFile("/sys/fs/cgroup/cgroup.controllers", "utf8");
    if (!/\bcpu\b.*\bmemory\b/.test(controllers)) skipBecause(this, "cpu and memory are controllers of cgroup v1 here");
    const pod = await podIn(slice, "native");
    try {
      const resources = { memoryLimitInBytes: 64n << 20n, cpuPeriod: 100_000n, cpuQuota: 50_000n };
      const containerId = await startContainer(daemon, pod, { linux: { resources } });
      const valueOf = (file: string): Promise<string> =>
        readFile(join("/sys/fs/cgroup", groupOf(pod), containerId, file), "utf8");
      await run("systemctl", ["daemon-reload"]);
      expect(await valueOf("memory.max")).to.equal("67108864\n");
      expect(await valueOf("cpu.max")).to.equal("50000 100000\n");
      const { stats } = await daemon.cri.call(runtime.containerStats, { containerId });
      expect(Number(stats?.memory?.workingSetBytes?.value)).to.be.within(1, 64 << 20);
    } finally {
      await removePod(daemon, pod);
    }
  });

  it("has a microVM and its file server in the scope, which a killed daemon's successor takes up", async () => {
    const pod = await podIn(slice, "");
    try {
      const programs = await programsIn(groupOf(pod));
      // libkrun is both in one process.
      expect(programs).to.have.lengthOf(driver === "krun" ? 1 : 2);
      if (driver !== "krun") expect(programs).to.include("virtiofsd");
      const vmm = await vmmPid(daemon, pod);
      await daemon.stop("SIGKILL");
      await daemon.launch();
      expect((await podStatus(daemon, pod.id)).state).to.equal(PodSandboxState.SANDBOX_READY);
      expect(await vmmPid(daemon, pod)).to.equal(vmm);
    } finally {
      await removePod(daemon, pod);
    }
  });

  it("sees a pod end whose scope was stopped by hand", async () => {
    const pod = await podIn(slice, "native");
    try {
      await startContainer(daemon, pod);
      await run("systemctl", ["stop", scopeOf(pod)]);
      await eventually("the sandbox is not ready", 20_000, async () => {
        const { state } = await podStatus(daemon, pod.id);
        return state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
      });
    } finally {
      await removePod(daemon, pod);
    }
  });

  it("has a slice of its own for a pod that names none", async () => {
    const pod = await podIn("", "native");
    try {
      expect(await shown(scopeOf(pod), "ControlGroup")).to.equal(`/a3s.slice/${scopeOf(pod)}`);
      await createContainer(daemon, pod);
    } finally {
      await removePod(daemon, pod);
    }
  });

  it("refuses a parent that is no slice, or elsewhere, and leaves nothing", async () => {
    for (const [parent, why] of [
      ["/kubepods/podx", /is no slice.*cgroupDriver must be systemd/],
      [`/elsewhere.slice/${slice}`, /is not where systemd has .*it is \/kubepods\.slice/],
      ["kubepods--x.slice", /is no slice/],
    ] as const) {
      const refused = await failure(podIn(parent, "native"), status.INVALID_ARGUMENT);
      expect(refused.message).to.match(why);
    }
    expect((await daemon.cri.call(runtime.listPodSandbox, {})).items).to.deep.equal([]);
  });
});
