import { expect } from "chai";
import { ContainerState, Signal } from "../../src/gen/runtime/v1/api.js";
import { failure, image, runtime, status } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import { busyboxImage } from "../support/images.js";
import { expectSameMachine } from "../support/machine.js";
import {
  containerStatus,
  createContainer,
  exec,
  exited,
  removeContainer,
  saidSomething,
  runPod,
  runToEnd,
  startContainer,
  vmmPid,
  type Pod,
} from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";

describe("Container", () => {
  let daemon: Daemon;
  let pod: Pod;
  before(async () => {
    daemon = await sharedDaemon();
  });
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon, { hostname: "pod-host" });
      return pod;
    },
  );

  const listed = async (id: string): Promise<string[]> => {
    const { containers } = await daemon.cri.call(runtime.listContainers, {
      filter: { id, state: undefined, podSandboxId: "", labelSelector: {} },
    });
    return containers.map((container) => container.id);
  };

  describe("its life", () => {
    it("is CREATED, RUNNING, EXITED, then gone, and leaves nothing", async () => {
      const before = await daemon.machine();
      const id = await createContainer(daemon, pod);
      const created = await containerStatus(daemon, id);
      expect(created.state).to.equal(ContainerState.CONTAINER_CREATED);
      expect(Math.abs(Number(created.createdAt) / 1e6 - Date.now())).to.be.lessThan(600_000);
      expect(await listed(id)).to.deep.equal([id]);

      await daemon.cri.call(runtime.startContainer, { containerId: id });
      const running = await containerStatus(daemon, id);
      expect(running.state).to.equal(ContainerState.CONTAINER_RUNNING);
      expect(running.startedAt > created.createdAt).to.equal(true);

      await daemon.cri.call(runtime.stopContainer, { containerId: id, timeout: 60n }, { limitMs: 20_000 });
      const stopped = await containerStatus(daemon, id);
      expect(stopped.state).to.equal(ContainerState.CONTAINER_EXITED);
      expect(stopped.finishedAt > running.startedAt).to.equal(true);
      expect(stopped.startedAt).to.equal(running.startedAt);
      expect(stopped.exitCode).to.equal(143); // 128 + SIGTERM: `top` has no handler

      await daemon.cri.call(runtime.removeContainer, { containerId: id });
      expect(await listed(id)).to.deep.equal([]);
      await failure(daemon.cri.call(runtime.containerStatus, { containerId: id }), status.NOT_FOUND);
      const logs = (line: string): boolean => !line.includes("/logs/");
      expect(before.files.filter(logs)).to.deep.equal((await daemon.machine()).files.filter(logs));
      await expectSameMachine(daemon.scope, before);
    });

    it("may be removed when created, when running and when exited", async () => {
      const created = await createContainer(daemon, pod);
      const running = await startContainer(daemon, pod);
      const ended = await startContainer(daemon, pod, { command: ["true"] });
      await exited(daemon, ended);
      for (const containerId of [created, running, ended]) {
        await daemon.cri.call(runtime.removeContainer, { containerId });
        expect(await listed(containerId)).to.deep.equal([]);
      }
    });

    it("may be stopped twice and removed twice, also one that never was", async () => {
      const id = await startContainer(daemon, pod);
      for (const containerId of [id, id, "0".repeat(64)]) {
        await daemon.cri.call(runtime.stopContainer, { containerId, timeout: 1n });
      }
      for (const containerId of [id, id, "0".repeat(64)]) {
        await daemon.cri.call(runtime.removeContainer, { containerId });
      }
    });

    it("is not started twice, nor after it has exited", async () => {
      const running = await startContainer(daemon, pod);
      await failure(daemon.cri.call(runtime.startContainer, { containerId: running }), status.FAILED_PRECONDITION);
      await daemon.cri.call(runtime.stopContainer, { containerId: running, timeout: 0n });
      await failure(daemon.cri.call(runtime.startContainer, { containerId: running }), status.FAILED_PRECONDITION);
      await removeContainer(daemon, running);
    });

    it("is killed when it ignores the stop signal for longer than the timeout", async () => {
      const id = await startContainer(daemon, pod, {
        command: ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"],
      });
      await saidSomething(daemon, id);
      await daemon.cri.call(runtime.stopContainer, { containerId: id, timeout: 1n });
      const stopped = await containerStatus(daemon, id);
      expect(stopped.state).to.equal(ContainerState.CONTAINER_EXITED);
      expect(stopped.exitCode).to.equal(137);
      await removeContainer(daemon, id);
    });

    it("gets the stop signal of its config, and says which it is", async () => {
      const id = await startContainer(daemon, pod, {
        command: ["sh", "-c", "trap 'exit 42' USR1; echo ready; while :; do sleep 0.1; done"],
        stopSignal: Signal.SIGUSR1,
      });
      await saidSomething(daemon, id);
      expect((await containerStatus(daemon, id)).stopSignal).to.equal(Signal.SIGUSR1);
      await daemon.cri.call(runtime.stopContainer, { containerId: id, timeout: 30n });
      expect((await containerStatus(daemon, id)).exitCode).to.equal(42);
      await removeContainer(daemon, id);
    });

    it("ends with its first process, whatever that has left running", async () => {
      const id = await startContainer(daemon, pod, { command: ["sh", "-c", "sleep 4322 & exit 3"] });
      const ended = await exited(daemon, id);
      expect(ended.exitCode).to.equal(3);
      await removeContainer(daemon, id);
    });

    it("reports exit code and reason: Completed for 0, Error for others", async () => {
      const good = await startContainer(daemon, pod, { command: ["true"] });
      const bad = await startContainer(daemon, pod, { command: ["sh", "-c", "exit 7"] });
      const [completed, failed] = [await exited(daemon, good), await exited(daemon, bad)];
      expect([completed.exitCode, completed.reason]).to.deep.equal([0, "Completed"]);
      expect([failed.exitCode, failed.reason]).to.deep.equal([7, "Error"]);
      await Promise.all([removeContainer(daemon, good), removeContainer(daemon, bad)]);
    });

    it("fails to be created or started, with the program's name, when there is no such program", async () => {
      const start = async (): Promise<void> => {
        await startContainer(daemon, pod, { command: ["no-such-program"], metadata: { name: "lost", attempt: 0 } });
      };
      await failure(start(), status.FAILED_PRECONDITION, /executable file.*no-such-program/);
      const { containers } = await daemon.cri.call(runtime.listContainers, {});
      for (const { id, metadata, state } of containers) {
        if (metadata?.name !== "lost") continue;
        expect(state).to.not.equal(ContainerState.CONTAINER_RUNNING);
        await removeContainer(daemon, id);
      }
    });
  });

  describe("what it says of itself", () => {
    it("returns name, attempt, labels, annotations and image as given, in status and list", async () => {
      const labels = { "io.kubernetes.container.name": "x", color: "red" };
      const annotations = { "io.kubernetes.container.hash": "1f", "io.kubernetes.container.restartCount": "3" };
      const metadata = { name: "attributes", attempt: 5 };
      const id = await createContainer(daemon, pod, { metadata, labels, annotations });
      const { image: stored } = await daemon.cri.call(image.imageStatus, {
        image: { image: busyboxImage, annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" },
      });
      const { containers } = await daemon.cri.call(runtime.listContainers, {
        filter: { id, state: undefined, podSandboxId: "", labelSelector: {} },
      });
      const [item] = containers;
      const found = await containerStatus(daemon, id);
      for (const one of [item, found]) {
        expect(one?.metadata).to.deep.equal(metadata);
        expect(one?.labels).to.deep.equal(labels);
        expect(one?.annotations).to.deep.equal(annotations);
        expect(one?.image?.image).to.match(/\S/);
        expect(one?.imageRef).to.match(/\S/);
        expect(one?.imageId).to.equal(stored?.id);
      }
      expect(item?.podSandboxId).to.equal(pod.id);
      expect(item?.createdAt).to.equal(found.createdAt);
      await removeContainer(daemon, id);
    });

    it("tells who asks verbosely its pod's process on the host, its own in the guest, and the spec that it runs by", async () => {
      const envs = [{ key: "TOKEN", value: Buffer.from("seen") }];
      const id = await startContainer(daemon, pod, { command: ["sleep", "4711"], envs });
      const told = async (): Promise<Record<string, unknown>> => {
        const { info } = await daemon.cri.call(runtime.containerStatus, { containerId: id, verbose: true });
        return JSON.parse(info["info"] ?? "null") as Record<string, unknown>;
      };
      const running = await told();
      expect(running).to.include({ sandboxID: pod.id, pid: await vmmPid(daemon, pod), pidOf: "vmm", snapshotKey: id });
      expect(running["guestPid"]).to.be.greaterThan(1);
      expect(running).to.have.nested.property("runtimeSpec.process.args").that.deep.equals(["sleep", "4711"]);
      expect(running).to.have.nested.property("runtimeSpec.process.env").that.includes("TOKEN=seen");
      expect(running).to.have.nested.property("runtimeSpec.mounts[0].destination").that.is.a("string");
      expect(running).to.have.nested.property("runtimeSpec.linux.namespaces").that.is.an("array");
      await daemon.cri.call(runtime.stopContainer, { containerId: id, timeout: 0n });
      expect(await told()).to.include({ pid: 0, guestPid: 0 });
      await removeContainer(daemon, id);
    });

    it("is found by state, pod and labels, and by all of them together", async () => {
      const running = await startContainer(daemon, pod, { labels: { app: "f", tier: "1" } });
      const created = await createContainer(daemon, pod, { labels: { app: "f", tier: "2" } });
      const find = async (
        state: ContainerState | undefined,
        podSandboxId: string,
        labelSelector: Record<string, string>,
      ): Promise<string[]> => {
        const { containers } = await daemon.cri.call(runtime.listContainers, {
          filter: { id: "", state: state === undefined ? undefined : { state }, podSandboxId, labelSelector },
        });
        return containers.map((container) => container.id);
      };
      expect(await find(undefined, "", { app: "f" })).to.have.members([running, created]);
      expect(await find(ContainerState.CONTAINER_RUNNING, "", { app: "f" })).to.deep.equal([running]);
      expect(await find(undefined, pod.id, { app: "f", tier: "2" })).to.deep.equal([created]);
      expect(await find(ContainerState.CONTAINER_RUNNING, pod.id, { app: "f", tier: "2" })).to.deep.equal([]);
      expect(await find(undefined, "0".repeat(64), {})).to.deep.equal([]);
      await Promise.all([removeContainer(daemon, running), removeContainer(daemon, created)]);
    });
  });

  describe("its program", () => {
    it("is command and args; args alone go to the image's entrypoint", async () => {
      const shown = (part: { command?: string[]; args?: string[] }): Promise<string> =>
        runToEnd(daemon, pod, "", { command: [], ...part });
      expect(await shown({ command: ["echo", "a"], args: ["b c", "$HOME"] })).to.equal("a b c $HOME\n");
      expect(await shown({ args: ["echo", "from args"] })).to.equal("from args\n");
    });

    it("has the image's environment with the config's over it, and a HOSTNAME", async () => {
      const envs = [
        { key: "PLAIN", value: Buffer.from("a b=c\nd") },
        { key: "PATH", value: Buffer.from("/mine:/bin") },
      ];
      const output = await runToEnd(daemon, pod, 'echo "$PLAIN"; echo "$PATH"; echo "$HOSTNAME"', { envs });
      expect(output).to.equal("a b=c\nd\n/mine:/bin\npod-host\n");
    });

    it("runs in the config's working directory, made where it is missing", async () => {
      expect(await runToEnd(daemon, pod, "pwd", { workingDir: "/usr/new/directory" })).to.equal("/usr/new/directory\n");
      expect(await runToEnd(daemon, pod, "pwd")).to.equal("/\n");
    });

    it("reads nothing from a standard input that was not asked for", async () => {
      expect(await runToEnd(daemon, pod, "cat; echo end")).to.equal("end\n");
    });

    it("writes to a root file system of its own, on top of the image", async () => {
      const [one, two] = await Promise.all([startContainer(daemon, pod), startContainer(daemon, pod)]);
      await exec(daemon, one, ["sh", "-c", "echo changed >/etc/group; rm /etc/passwd; mkdir /new"]);
      expect((await exec(daemon, two, ["sh", "-c", "wc -l </etc/group; ls /etc/passwd; ls -d /new"])).stdout).to.equal(
        "4\n/etc/passwd\n",
      );
      await Promise.all([removeContainer(daemon, one), removeContainer(daemon, two)]);
    });
  });
});
