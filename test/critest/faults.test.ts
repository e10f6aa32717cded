import { expect } from "chai";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { driverOf } from "../support/driver-of.js";
import { busybox } from "../support/images.js";
import { boxProcesses, expectSameMachine } from "../support/machine.js";
import {
  containerStatus,
  createContainer,
  exec,
  podConfig,
  podStatus,
  removePod,
  runPod,
  shell,
  startContainer,
  vmmPid,
} from "../support/pods.js";
import { eventually, limit, slowness } from "../support/wait.js";

describe("Faults", () => {
  let daemon: Daemon;
  before(async () => {
    daemon = await Daemon.start({ images: [await busybox()] });
  });
  after(async () => {
    await daemon.remove();
  });

  describe("kill -9 of a Box's VMM", () => {
    it("turns the sandbox NOTREADY and its containers EXITED within 2 s, and both can be removed", async () => {
      const before = await daemon.machine();
      const pod = await runPod(daemon);
      const running = await startContainer(daemon, pod);
      const created = await createContainer(daemon, pod);
      process.kill(await vmmPid(daemon, pod), "SIGKILL");
      const killedMs = performance.now();
      await eventually("the sandbox is NOTREADY", 5_000, async () =>
        (await podStatus(daemon, pod.id)).state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined,
      );
      const found = await eventually("the container is EXITED", 5_000, async () => {
        const now = await containerStatus(daemon, running);
        return now.state === ContainerState.CONTAINER_EXITED ? now : undefined;
      });
      expect(performance.now() - killedMs).to.be.lessThan(2_000 * slowness);
      expect(found.exitCode).to.not.equal(0);
      expect(Number(found.finishedAt)).to.be.greaterThan(1e18);
      expect((await containerStatus(daemon, created)).state).to.not.equal(ContainerState.CONTAINER_RUNNING);
      await failure(
        daemon.cri.call(runtime.execSync, { containerId: running, cmd: ["true"] }),
        status.FAILED_PRECONDITION,
      );
      await daemon.cri.call(runtime.removeContainer, { containerId: running });
      await removePod(daemon, pod);
      await expectSameMachine(daemon.scope, before);
    });

    it("leaves the pods beside it alone", async () => {
      const [one, two] = await Promise.all([runPod(daemon), runPod(daemon)]);
      const container = await startContainer(daemon, two);
      process.kill(await vmmPid(daemon, one), "SIGKILL");
      await eventually("the sandbox is NOTREADY", 5_000, async () =>
        (await podStatus(daemon, one.id)).state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined,
      );
      expect((await exec(daemon, container, ["echo", "alive"])).stdout).to.equal("alive\n");
      expect((await podStatus(daemon, two.id)).state).to.equal(PodSandboxState.SANDBOX_READY);
      await Promise.all([removePod(daemon, one), removePod(daemon, two)]);
    });

    it("ends the calls that wait for its guest", async () => {
      const pod = await runPod(daemon);
      const container = await startContainer(daemon, pod);
      const waiting = daemon.cri.call(
        runtime.execSync,
        { containerId: container, cmd: ["sh", "-c", "touch /tmp/begun; sleep 4325"] },
        { limitMs: 30_000 },
      );
      waiting.catch(() => undefined);
      await eventually("the exec has begun", 10_000, async () =>
        (await exec(daemon, container, ["ls", "/tmp/begun"])).exitCode === 0 ? true : undefined,
      );
      process.kill(await vmmPid(daemon, pod), "SIGKILL");
      const killedMs = performance.now();
      await failure(waiting, status.UNAVAILABLE);
      expect(performance.now() - killedMs).to.be.lessThan(limit(3_000));
      await removePod(daemon, pod);
    });
  });

  describe("kill -9 of a Box's VMM during the start of a Box", () => {
    let booting: Daemon;
    before(async () => {
      // One that goes on from a template boots then: test/vmm has that.
      booting = await Daemon.start({ images: [await busybox()], config: '[sandbox]\nstart = "boot"\n' });
    });
    after(async () => {
      await booting.remove();
    });

    it("makes RunPodSandbox fail with the reason, and leaves nothing", async () => {
      const before = await booting.machine();
      // The file server beside QEMU has the launcher's name, too, until it is one.
      const itsName = (await driverOf(booting)) === "krun" ? /launcher/ : /qemu/;
      const running = runPod(booting);
      running.catch(() => undefined);
      const vmm = await eventually("the VMM is there", 10_000, async () =>
        (await boxProcesses(booting.scope)).find(({ name }) => itsName.test(name)),
      );
      process.kill(vmm.pid, "SIGKILL");
      await failure(running, status.INTERNAL, /boot box.*vmm killed by signal 9/);
      await expectSameMachine(booting.scope, before);
    });
  });

  describe("a VMM that stands still", () => {
    let watchful: Daemon;
    before(async () => {
      const config = "[sandbox]\nhealth_timeout_ms = 12000\n";
      watchful = await Daemon.start({ images: [await busybox()], config });
    });
    after(async () => {
      await watchful.remove();
    });

    it("is given up after the health limit, with the reason; until then every call is answered", async () => {
      const before = await watchful.machine();
      const pod = await runPod(watchful);
      const container = await startContainer(watchful, pod);
      process.kill(await vmmPid(watchful, pod), "SIGSTOP");
      expect((await podStatus(watchful, pod.id)).state).to.equal(PodSandboxState.SANDBOX_READY);
      expect((await containerStatus(watchful, container)).state).to.equal(ContainerState.CONTAINER_RUNNING);
      expect((await watchful.cri.call(runtime.listContainerStats, {})).stats).to.have.length(1);
      const ran = watchful.cri.call(runtime.execSync, { containerId: container, cmd: ["true"], timeout: 60n });
      await failure(ran, status.UNAVAILABLE, /has not answered/);
      const ended = await eventually("the container is EXITED", 60_000, async () => {
        const now = await containerStatus(watchful, container);
        return now.state === ContainerState.CONTAINER_EXITED ? now : undefined;
      });
      expect(ended.message).to.include("the guest has not answered for 12 s");
      expect((await podStatus(watchful, pod.id)).state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
      await removePod(watchful, pod);
      await expectSameMachine(watchful.scope, before);
    });

    it("can be stopped and removed before that", async () => {
      const before = await daemon.machine();
      const pod = await runPod(daemon);
      await startContainer(daemon, pod);
      process.kill(await vmmPid(daemon, pod), "SIGSTOP");
      await removePod(daemon, pod);
      await expectSameMachine(daemon.scope, before);
    });
  });

  it("after a reboot every pod is NOTREADY, its containers EXITED, and all can be removed and made again", async () => {
    const before = await daemon.machine();
    const pod = await runPod(daemon);
    const running = await startContainer(daemon, pod);
    const created = await createContainer(daemon, pod);
    await daemon.reboot();
    await eventually("the sandbox is NOTREADY", 20_000, async () =>
      (await podStatus(daemon, pod.id)).state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined,
    );
    for (const container of [running, created]) {
      const found = await eventually("the container has exited", 10_000, async () => {
        const status = await containerStatus(daemon, container);
        return status.state === ContainerState.CONTAINER_EXITED ? status : undefined;
      });
      expect(found.exitCode).to.not.equal(0);
      // A process that nobody has reaped yet is found once more, and ends at once.
      expect(found.message).to.match(/its box was gone when the daemon started|vmm ended/);
    }
    const metadata = { ...podConfig(daemon).metadata, ...pod.config.metadata, attempt: 3 };
    const next = await runPod(daemon, { metadata });
    expect(await shell(daemon, await startContainer(daemon, next), "echo again")).to.equal("again\n");
    await removePod(daemon, pod);
    await removePod(daemon, next);
    await expectSameMachine(daemon.scope, before);
  });

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    it(`a daemon that ends by ${signal} leaves its pods running, and the next one has them`, async () => {
      const before = await daemon.machine();
      const pod = await runPod(daemon);
      const container = await startContainer(daemon, pod, { annotations: { kept: "yes" } });
      await shell(daemon, container, "echo before >/tmp/file");
      const earlier = await containerStatus(daemon, container);
      await daemon.stop(signal);
      await daemon.launch();
      await eventually("the sandbox is READY again", 10_000, async () =>
        (await podStatus(daemon, pod.id)).state === PodSandboxState.SANDBOX_READY ? true : undefined,
      );
      expect(await containerStatus(daemon, container)).to.deep.equal(earlier);
      expect(await shell(daemon, container, "cat /tmp/file")).to.equal("before\n");
      await removePod(daemon, pod);
      await expectSameMachine(daemon.scope, before);
    });
  }
});
