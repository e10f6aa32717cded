import { release } from "node:os";
import { expect } from "chai";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import { expectSameMachine } from "../support/machine.js";
import {
  containerStatus,
  podStatus,
  removeContainer,
  removePod,
  runPod,
  runToEnd,
  shell,
  startContainer,
  type Pod,
} from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";

describe("PodSandbox", () => {
  let daemon: Daemon;
  before(async () => {
    daemon = await sharedDaemon();
  });

  const listed = async (id: string): Promise<string[]> => {
    const { items } = await daemon.cri.call(runtime.listPodSandbox, {
      filter: { id, state: undefined, labelSelector: {} },
    });
    return items.map((item) => item.id);
  };

  describe("its life", () => {
    it("is READY and listed after RunPodSandbox, NOTREADY and listed after Stop, and gone after Remove", async () => {
      const before = await daemon.machine();
      const pod = await runPod(daemon);
      expect((await podStatus(daemon, pod.id)).state).to.equal(PodSandboxState.SANDBOX_READY);
      expect(await listed(pod.id)).to.deep.equal([pod.id]);

      await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: pod.id });
      expect((await podStatus(daemon, pod.id)).state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
      expect(await listed(pod.id)).to.deep.equal([pod.id]);

      await daemon.cri.call(runtime.removePodSandbox, { podSandboxId: pod.id });
      expect(await listed(pod.id)).to.deep.equal([]);
      await failure(daemon.cri.call(runtime.podSandboxStatus, { podSandboxId: pod.id }), status.NOT_FOUND);
      await expectSameMachine(daemon.scope, before);
    });

    it("may be stopped twice and removed twice", async () => {
      const pod = await runPod(daemon);
      for (let turn = 0; turn < 2; turn++) await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: pod.id });
      for (let turn = 0; turn < 2; turn++) await daemon.cri.call(runtime.removePodSandbox, { podSandboxId: pod.id });
      expect(await listed(pod.id)).to.deep.equal([]);
    });

    it("takes its containers along: EXITED after Stop, gone after Remove", async () => {
      const before = await daemon.machine();
      const pod = await runPod(daemon);
      const running = await startContainer(daemon, pod);
      await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: pod.id });
      const stopped = await containerStatus(daemon, running);
      expect(stopped.state).to.equal(ContainerState.CONTAINER_EXITED);
      expect(Number(stopped.finishedAt)).to.be.greaterThan(1e18);
      expect(stopped.exitCode).to.not.equal(0);
      await daemon.cri.call(runtime.removePodSandbox, { podSandboxId: pod.id });
      await failure(daemon.cri.call(runtime.containerStatus, { containerId: running }), status.NOT_FOUND);
      await expectSameMachine(daemon.scope, before);
    });

    it("may be removed while it runs", async () => {
      const before = await daemon.machine();
      const pod = await runPod(daemon);
      await startContainer(daemon, pod);
      await daemon.cri.call(runtime.removePodSandbox, { podSandboxId: pod.id });
      expect(await listed(pod.id)).to.deep.equal([]);
      await expectSameMachine(daemon.scope, before);
    });

    it("succeeds in stopping and removing one that never was", async () => {
      const podSandboxId = "0".repeat(64);
      await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId });
      await daemon.cri.call(runtime.removePodSandbox, { podSandboxId });
    });
  });

  describe("what it says of itself", () => {
    let pod: Pod;
    sharedPod(
      () => daemon,
      async () => {
        pod = await runPod(daemon, {
          hostname: "test-hostname",
          labels: { color: "blue", "io.kubernetes.pod.uid": "u-1" },
          annotations: { "example.com/hash": "x".repeat(300) },
          dnsConfig: { servers: ["10.10.10.10"], searches: ["google.com"], options: ["ndots:8"] },
          linux: { sysctls: { "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "100" } },
        });
        return pod;
      },
    );

    it("returns metadata, labels and annotations as given, in status and list", async () => {
      const found = await podStatus(daemon, pod.id);
      expect(found.id).to.equal(pod.id);
      expect(found.metadata).to.deep.equal(pod.config.metadata);
      expect(found.labels).to.deep.equal(pod.config.labels);
      expect(found.annotations).to.deep.equal(pod.config.annotations);
      const { items } = await daemon.cri.call(runtime.listPodSandbox, {
        filter: { id: pod.id, state: undefined, labelSelector: {} },
      });
      const [item] = items;
      expect(item?.metadata).to.deep.equal(pod.config.metadata);
      expect(item?.labels).to.deep.equal(pod.config.labels);
      expect(item?.annotations).to.deep.equal(pod.config.annotations);
    });

    it("has a creation time in nanoseconds, the same in status and list", async () => {
      const found = await podStatus(daemon, pod.id);
      expect(Math.abs(Number(found.createdAt) / 1e6 - Date.now())).to.be.lessThan(600_000);
      const { items } = await daemon.cri.call(runtime.listPodSandbox, {
        filter: { id: pod.id, state: undefined, labelSelector: {} },
      });
      expect(items[0]?.createdAt).to.equal(found.createdAt);
    });

    it("reports the POD network namespace, so that kubelet does not make it anew", async () => {
      const found = await podStatus(daemon, pod.id);
      expect(found.linux?.namespaces?.options?.network ?? 0).to.equal(0);
      expect(found.network?.ip).to.not.equal("");
    });

    it("tells in the verbose status how long each stage of its start took", async () => {
      const { info } = await daemon.cri.call(runtime.podSandboxStatus, { podSandboxId: pod.id, verbose: true });
      const facts: unknown = JSON.parse(info["info"] ?? "null");
      expect(facts).to.have.nested.property("stages[0].name").that.is.a("string");
      expect(facts).to.have.nested.property("stages[0].ms").that.is.a("number");
      expect(facts).to.have.property("memoryBytes").that.is.greaterThan(10_000_000);
    });

    it("has a kernel of its own", async () => {
      expect((await runToEnd(daemon, pod, "uname -r")).trim()).to.not.equal(release());
    });

    it("shows hostname and resolv.conf as asked for, the loopback up, and the sysctls set", async () => {
      const container = await startContainer(daemon, pod);
      expect(await shell(daemon, container, "hostname")).to.equal("test-hostname\n");
      expect(await shell(daemon, container, "cat /etc/hostname")).to.equal("test-hostname\n");
      expect(await shell(daemon, container, "echo $HOSTNAME")).to.equal("test-hostname\n");
      const resolv = await shell(daemon, container, "cat /etc/resolv.conf");
      expect(resolv).to.match(/^nameserver 10\.10\.10\.10$/m);
      expect(resolv).to.match(/^search google\.com$/m);
      expect(resolv).to.match(/^options ndots:8$/m);
      expect(await shell(daemon, container, "ping -c 1 127.0.0.1 >/dev/null && echo up")).to.equal("up\n");
      expect(await shell(daemon, container, "cat /proc/sys/kernel/shm_rmid_forced")).to.equal("1\n");
      expect(await shell(daemon, container, "cat /proc/sys/fs/mqueue/msg_max")).to.equal("100\n");
      await removeContainer(daemon, container);
    });

    it("shares /dev/shm between its containers, 64 MiB, and nothing else of them", async () => {
      const [one, two] = await Promise.all([startContainer(daemon, pod), startContainer(daemon, pod)]);
      await shell(daemon, one, "echo shared >/dev/shm/file; echo mine >/tmp/file");
      expect(await shell(daemon, two, "cat /dev/shm/file; ls /tmp")).to.equal("shared\n");
      expect(await shell(daemon, two, "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2")).to.equal("65536\n");
      await Promise.all([removeContainer(daemon, one), removeContainer(daemon, two)]);
    });
  });

  describe("ListPodSandbox filters", () => {
    const pods: Pod[] = [];
    before(async () => {
      pods.push(await runPod(daemon, { labels: { app: "a", tier: "1" } }));
      pods.push(await runPod(daemon, { labels: { app: "b", tier: "1" } }));
      await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: pods[1]?.id ?? "" });
    });
    after(async () => {
      for (const pod of pods) await removePod(daemon, pod);
    });
    const find = async (filter: {
      id?: string;
      state?: PodSandboxState;
      labelSelector?: Record<string, string>;
    }): Promise<string[]> => {
      const { id = "", state, labelSelector = {} } = filter;
      const { items } = await daemon.cri.call(runtime.listPodSandbox, {
        filter: { id, state: state === undefined ? undefined : { state }, labelSelector },
      });
      return items.map((item) => item.id).filter((found) => pods.some((pod) => pod.id === found));
    };

    it("selects by state", async () => {
      expect(await find({ state: PodSandboxState.SANDBOX_READY })).to.deep.equal([pods[0]?.id]);
      expect(await find({ state: PodSandboxState.SANDBOX_NOTREADY })).to.deep.equal([pods[1]?.id]);
    });

    it("selects by labels, all of which must match", async () => {
      expect(await find({ labelSelector: { tier: "1" } })).to.have.members(pods.map((pod) => pod.id));
      expect(await find({ labelSelector: { tier: "1", app: "b" } })).to.deep.equal([pods[1]?.id]);
      expect(await find({ labelSelector: { app: "c" } })).to.deep.equal([]);
    });

    it("selects by what all members of the filter say together", async () => {
      const id = pods[0]?.id ?? "";
      expect(await find({ id, state: PodSandboxState.SANDBOX_READY, labelSelector: { app: "a" } })).to.deep.equal([id]);
      expect(await find({ id, state: PodSandboxState.SANDBOX_NOTREADY })).to.deep.equal([]);
    });

    it("selects by a prefix of the id, as crictl gives it", async () => {
      expect(await find({ id: pods[0]?.id.slice(0, 13) ?? "" })).to.deep.equal([pods[0]?.id]);
    });

    it("lists all without a filter", async () => {
      const { items } = await daemon.cri.call(runtime.listPodSandbox, {});
      expect(items.map((item) => item.id)).to.include.members(pods.map((pod) => pod.id));
    });
  });
});
