/** The real call hangs, not the wrapper round it: each call ends within its limit and a second, and nothing is left. */
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, rmdir, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import { failure, image, runtime, status } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { canDie, DeadMount } from "../support/faults/dead-mount.js";
import { FrozenDisk } from "../support/faults/frozen-disk.js";
import { FaultDirectory } from "../support/faults/fault-directory.js";
import { busybox } from "../support/images.js";
import { boxProcesses, expectSameMachine, type MachineState } from "../support/machine.js";
import {
  containerConfig,
  createContainer,
  exec,
  podConfig,
  removePod,
  runPod,
  startContainer,
  vmmPid,
  type Pod,
} from "../support/pods.js";
import { eventually, limit, slowness } from "../support/wait.js";
import { skipBecause } from "../support/skip.js";

/** Of the steps that hang here; kubelet's own limits are minutes. */
const capMs = 1_500;
/** A guest takes the file server's word for a name for a second. */
const forgottenMs = 2_000;
/** Programs have read then what they begin with: one whose read is with a file server can't be ended. */
const begunMs = 1_000;
/** A step's grace, and a busy machine's. */
const overMs = 1_000 * slowness;

/** Runs it, and fails when it took longer than its limit and a second. */
async function within<T>(limitMs: number, call: () => Promise<T>): Promise<T> {
  const beganMs = performance.now();
  const answer = await call();
  expect(performance.now() - beganMs, "ms that the call took").to.be.lessThan(limitMs + overMs);
  return answer;
}

describe("Calls beside what really hangs", function () {
  this.timeout(limit(120_000));
  let faults: FaultDirectory;
  let daemon: Daemon;
  let pod: Pod;
  let machine: MachineState;

  before(async () => {
    faults = await FaultDirectory.make();
    const config = "[sandbox]\nstop_timeout_ms = 1000\n";
    daemon = await Daemon.start({ images: [await busybox()], config, environment: { A3S_FAULTS: faults.path } });
    pod = await runPod(daemon);
  });
  after(async () => {
    await faults.disarm();
    await daemon.remove();
    await faults[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    machine = await daemon.machine();
  });
  afterEach(async () => {
    await faults.disarm();
  });

  describe("a volume on a file system that is dead", () => {
    before(function () {
      if (!canDie) skipBecause(this, "no /dev/fuse here, by which a file system can be dead");
    });

    it("costs its container, tried again and again, and nobody else", async () => {
      await using dead = await DeadMount.make();
      await faults.cap(capMs, "resolve mount /data");
      const create = (): Promise<string> =>
        createContainer(daemon, pod, {
          logPath: "",
          mounts: [{ hostPath: join(dead.path, "data"), containerPath: "/data" }],
        });
      const refused = (): Promise<unknown> =>
        failure(create(), status.DEADLINE_EXCEEDED, /resolve mount \/data: .*its file system does not answer/);
      await within(capMs, () => Promise.all(Array.from({ length: 24 }, refused)));
      await within(capMs, refused);
      const containerId = await startContainer(daemon, pod, { logPath: "" });
      await daemon.cri.call(runtime.removeContainer, { containerId });
      dead.end();
      await failure(create(), status.INVALID_ARGUMENT, /can't be resolved/);
      await expectSameMachine(daemon.scope, machine);
    });

    it("with a container's log on it: it is held and named until that ends, and a daemon's end does not wait", async () => {
      await using dead = await DeadMount.make();
      await symlink(dead.path, join(pod.config.logDirectory, "dead"));
      const containerId = await createContainer(daemon, pod, { logPath: "dead/0.log" });
      await faults.cap(capMs, "open log");
      await within(capMs, () =>
        failure(
          daemon.cri.call(runtime.startContainer, { containerId }),
          status.DEADLINE_EXCEEDED,
          /open log: no result/,
        ),
      );
      await within(0, () =>
        failure(
          daemon.cri.call(runtime.removeContainer, { containerId }),
          status.UNAVAILABLE,
          /still busy with: open log since \d+ s/,
        ),
      );
      const beganMs = performance.now();
      expect(await daemon.stop(), "the daemon's exit status").to.equal(0);
      expect(performance.now() - beganMs).to.be.lessThan(limit(15_000));
      dead.end();
      await daemon.launch();
      await eventually("the container is removed", 10_000, async () => {
        await daemon.cri.call(runtime.removeContainer, { containerId });
        return true;
      });
      await rm(join(pod.config.logDirectory, "dead"));
      await expectSameMachine(daemon.scope, machine);
    });
  });

  describe("an image store on a disk that is dead", () => {
    before(function () {
      if (!canDie) skipBecause(this, "no /dev/fuse here, by which a file system can be dead");
    });

    it("ends its calls with their clients, and takes nothing from running pods, nor from the daemon's end", async () => {
      const containerId = await startContainer(daemon, pod, { logPath: "" });
      const dead = DeadMount.over(join(daemon.root, "images"));
      try {
        const exactMs = 1_000;
        const spec = {
          image: "example.invalid/app:v1",
          annotations: {},
          userSpecifiedImage: "",
          runtimeHandler: "",
          imageRef: "",
        };
        const calls = (): Promise<unknown>[] => [
          daemon.cri.call(image.listImages, {}, { exactMs }),
          daemon.cri.call(image.imageStatus, { image: spec }, { exactMs }),
          daemon.cri.call(image.removeImage, { image: spec }, { exactMs }),
          daemon.cri.call(image.imageFsInfo, {}, { exactMs }),
        ];
        const many = await within(exactMs, () =>
          Promise.allSettled([...calls(), ...calls(), ...calls(), ...calls(), ...calls()]),
        );
        expect(many.filter((one) => one.status === "fulfilled")).to.deep.equal([]);
        await within(2_000, () => daemon.cri.call(runtime.execSync, { containerId, cmd: ["true"] }));
        await within(2_000, () => daemon.cri.call(runtime.listContainers, {}));
        const beganMs = performance.now();
        expect(await daemon.stop(), "the daemon's exit status").to.equal(0);
        expect(performance.now() - beganMs).to.be.lessThan(limit(15_000));
      } finally {
        dead.uncover();
      }
      await daemon.launch();
      await daemon.cri.call(runtime.removeContainer, { containerId });
      await expectSameMachine(daemon.scope, machine);
    });
  });

  it("A VMM that is stopped: its calls end with their clients, and its pod is stopped and removed", async () => {
    const hanging = await runPod(daemon);
    const containerId = await startContainer(daemon, hanging);
    process.kill(await vmmPid(daemon, hanging), "SIGSTOP");
    const exec = daemon.cri.call(runtime.execSync, { containerId, cmd: ["true"] }, { exactMs: 1_000 });
    await failure(exec, status.DEADLINE_EXCEEDED, /./);
    await faults.cap(capMs, "stop containers");
    await within(capMs + 1_000 + 5_000, () => removePod(daemon, hanging));
    await expectSameMachine(daemon.scope, machine, 10_000);
  });

  it("A file server that is stopped: its Box's calls end with their clients, other pods' do not wait, and its pod goes", async () => {
    const hanging = await runPod(daemon);
    process.kill(await fileServerPid(daemon, hanging), "SIGSTOP");
    const config = containerConfig({ logPath: "" });
    const request = { podSandboxId: hanging.id, config, sandboxConfig: hanging.config };
    const create = daemon.cri.call(runtime.createContainer, request, { exactMs: 1_000 });
    await failure(create, status.DEADLINE_EXCEEDED, /./);
    const other = await startContainer(daemon, pod, { logPath: "" });
    await within(2_000, () => daemon.cri.call(runtime.execSync, { containerId: other, cmd: ["true"] }));
    await daemon.cri.call(runtime.removeContainer, { containerId: other });
    await faults.cap(capMs, "stop containers");
    await within(capMs + 1_000 + 5_000, () => removePod(daemon, hanging));
    await expectSameMachine(daemon.scope, machine, 10_000);
  });

  it("A file server that stands still: what runs in its Box is counted and ended all the same", async () => {
    const hanging = await runPod(daemon);
    const counted = await startContainer(daemon, hanging, { logPath: "" });
    const ended = await startContainer(daemon, hanging, { logPath: "" });
    const server = await fileServerPid(daemon, hanging);
    await setTimeout(begunMs);
    process.kill(server, "SIGSTOP");
    try {
      await setTimeout(forgottenMs);
      await within(1_000, () => daemon.cri.call(runtime.containerStats, { containerId: counted }));
      await within(1_000, () => daemon.cri.call(runtime.stopContainer, { containerId: ended, timeout: 0n }));
    } finally {
      process.kill(server, "SIGCONT");
    }
    await removePod(daemon, hanging);
    await expectSameMachine(daemon.scope, machine, 10_000);
  });

  it("A frozen disk below a volume: who writes there waits, and the Box's other containers do not", async () => {
    await using disk = await FrozenDisk.mount();
    const writing = await startContainer(daemon, pod, {
      logPath: "",
      mounts: [{ hostPath: disk.path, containerPath: "/data" }],
    });
    const other = await startContainer(daemon, pod, { logPath: "" });
    await disk.freeze();
    const writers = Array.from({ length: 8 }, (_, at) =>
      exec(daemon, writing, ["sh", "-c", `echo written > /data/${String(at)}`]),
    );
    await setTimeout(forgottenMs);
    const look = ["sh", "-c", "echo seen > /new; cat /new; ls / | grep -c new"];
    expect((await within(1_000, () => exec(daemon, other, look))).stdout).to.equal("seen\n1\n");
    expect(await Promise.race([Promise.any(writers), setTimeout(100, "waits")])).to.equal("waits");
    await disk.thaw();
    for (const { exitCode } of await Promise.all(writers)) expect(exitCode).to.equal(0);
    for (const containerId of [writing, other]) await daemon.cri.call(runtime.removeContainer, { containerId });
  });

  it("A frozen group, in which nothing dies: the step is named, and the pod goes once it is thawed", async function () {
    const freezer = "/sys/fs/cgroup/freezer";
    if (!existsSync(freezer)) skipBecause(this, "no freezer of cgroup v1 here; version 2 kills what is frozen");
    const group = join(freezer, `a3s-frozen-${String(process.pid)}`);
    await mkdir(group);
    const hanging = await runPod(daemon);
    const pid = await vmmPid(daemon, hanging);
    await writeFile(join(group, "cgroup.procs"), String(pid));
    await writeFile(join(group, "freezer.state"), "FROZEN");
    try {
      await faults.cap(capMs, "stop containers", "stop box", "discard box");
      const stop = daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: hanging.id });
      await within(3 * capMs, () => failure(stop, status.DEADLINE_EXCEEDED, /discard box: no result/));
    } finally {
      await writeFile(join(group, "freezer.state"), "THAWED");
    }
    await faults.disarm();
    await eventually("the pod is removed", 20_000, async () => {
      await removePod(daemon, hanging);
      return true;
    });
    await expectSameMachine(daemon.scope, machine, 10_000);
    await rmdir(group);
  });
});

/** Of a pod's Box, by the groups that they share. */
async function fileServerPid(of: Daemon, { id }: Pod): Promise<number> {
  for (const { name, pid } of await boxProcesses(of.scope)) {
    const groups = await readFile(`/proc/${String(pid)}/cgroup`, "utf8").catch(() => "");
    if (name === "virtiofsd" && groups.includes(id)) return pid;
  }
  throw new Error(`no file server of ${id}`);
}

describe("A network plugin that sleeps", function () {
  this.timeout(limit(60_000));
  let directory: string;
  let daemon: Daemon;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-cni-"));
    const list = { cniVersion: "1.0.0", name: "asleep", plugins: [{ type: "asleep" }] };
    await writeFile(join(directory, "10-asleep.conflist"), JSON.stringify(list));
    // It hears nothing but SIGKILL, and so does what it has started.
    const program = `#!/bin/sh\ntrap '' TERM INT HUP\n[ "$CNI_COMMAND" = ADD ] || exit 0\necho $$ > ${directory}/pid\nsleep 1000\n`;
    await writeFile(join(directory, "asleep"), program);
    await chmod(join(directory, "asleep"), 0o755);
    const config = `[cni]\nconf_dir = "${directory}"\nbin_dirs = ["${directory}"]\nplugin_timeout_ms = ${String(capMs)}\n`;
    daemon = await Daemon.start({ config, nodeNetns: `/proc/${String(process.pid)}/ns/net` });
  });
  after(async () => {
    await daemon.remove();
    await rm(directory, { recursive: true });
  });

  it("is killed at its limit with all that it has started; the pod's error names it, and nothing is left", async () => {
    const was = await daemon.machine();
    const run = daemon.cri.call(runtime.runPodSandbox, { config: podConfig(daemon, { logDirectory: "" }) });
    // The Box that boots beside it is taken back before the answer.
    await within(capMs + 5_000, () => failure(run, status.DEADLINE_EXCEEDED, /CNI plugin "asleep" ADD: no result in/));
    const pid = Number(await readFile(join(directory, "pid"), "utf8"));
    expect(existsSync(`/proc/${String(pid)}`)).to.equal(false);
    await expectSameMachine(daemon.scope, was, 10_000);
  });
});
