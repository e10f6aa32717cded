/** Boxes that are ready before a pod asks, with systemd as number 1: a scope in the pool's slice, then one in the pod's. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import { removePod, runPod, shell, startContainer } from "../support/pods.js";
import { eventually, limit } from "../support/wait.js";

const run = promisify(execFile);
const slice = "kubepods-burstable-podcd_34.slice";
const slicePath = `/kubepods.slice/kubepods-burstable.slice/${slice}`;
const resources = { memoryLimitInBytes: 320n << 20n, cpuPeriod: 100_000n, cpuQuota: 100_000n };
const config = (count: number): string =>
  `[cgroup]\ndriver = "systemd"\n[handlers.quick]\n` +
  (count === 0 ? "" : `ready = [{ vcpus = 1, memory_mib = 320, count = ${count} }]\n`);

describe("the pool under systemd", function () {
  this.timeout(limit(90_000));
  let daemon: Daemon;
  let atStart: MachineState;

  before(async () => {
    if (process.env["A3S_TEST_SYSTEMD"] === undefined) throw new Error("run it by npm run test:systemd");
    daemon = await Daemon.start({ images: [await busybox()], config: config(0) });
    atStart = await daemon.machine();
    await daemon.reconfigure(config(1));
  });

  after(async () => {
    try {
      await daemon.reconfigure(config(0));
      await eventually("systemd has no scope of a Box", 30_000, async () =>
        (await scopes()) === "" ? true : undefined,
      );
      await expectSameMachine(daemon.scope, atStart, 60_000);
    } finally {
      await daemon.remove();
    }
  });

  async function scopes(): Promise<string> {
    const patterns = ["a3s-box-*.scope", "a3s-pool-*.scope"];
    return (await run("systemctl", ["list-units", "--all", "--plain", "--legend=no", ...patterns])).stdout;
  }

  async function groupOf(unit: string): Promise<string> {
    return (await run("systemctl", ["show", "--value", "-p", "ControlGroup", unit])).stdout.trim();
  }

  it("has a Box in a scope of its own slice; taken, its processes are in one of the pod's, and the other has gone", async () => {
    await eventually("a ready Box", 60_000, async () => {
      const { info } = await daemon.cri.call(runtime.status, { verbose: true });
      return /"ready":1/.test(info["pool"] ?? "") ? true : undefined;
    });
    const [unit = ""] = /a3s-pool-[0-9a-f]{64}\.scope/.exec(await scopes()) ?? [];
    expect(await groupOf(unit)).to.equal(`/a3s.slice/a3s-pool.slice/${unit}`);

    const pod = await runPod(daemon, { linux: { cgroupParent: slice, resources } }, "quick");
    try {
      expect(unit).to.equal(`a3s-pool-${pod.id}.scope`);
      const scope = `a3s-box-${pod.id}.scope`;
      expect(await groupOf(scope)).to.equal(`${slicePath}/${scope}`);
      const procs = await readFile(join("/sys/fs/cgroup", slicePath, scope, "cgroup.procs"), "utf8");
      const names = await Promise.all(
        procs
          .trim()
          .split("\n")
          .map((pid) => readFile(`/proc/${pid}/comm`, "utf8")),
      );
      expect(names.join("")).to.contain("virtiofsd").and.to.contain("qemu");
      expect(names.join("")).to.not.contain("sleep");
      expect(await scopes()).to.not.contain(unit);
      expect(await shell(daemon, await startContainer(daemon, pod), "echo up")).to.equal("up\n");
    } finally {
      await removePod(daemon, pod);
    }
  });
});
