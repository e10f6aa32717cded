/** Limits of containers and pods: what a request makes of them, what updates change, what happens at the limit. */
import { execFileSync } from "node:child_process";
import { chmod, chown, mkdtemp, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { messageOf } from "../../src/base/errors.js";
import { LinuxContainerResources, PodSandboxState } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import { boxProcesses } from "../support/machine.js";
import {
  containerStatus,
  createContainer,
  exited,
  podStatus,
  removeContainer,
  removePod,
  runPod,
  shell,
  startContainer,
  type Pod,
} from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually } from "../support/wait.js";

/** Far more than the tests below free before the last one, which is to see the host give new memory. */
const podBytes = 512n << 20n;
const takenMiB = 320;
const seenOfItMiB = 160;

describe("Resource limits", () => {
  let daemon: Daemon;
  let pod: Pod;
  let one: string;
  before(async () => {
    daemon = await sharedDaemon();
  });
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon, { linux: { resources: { memoryLimitInBytes: podBytes } } });
      one = await startContainer(daemon, pod);
      return pod;
    },
  );

  const partial = (part: Partial<LinuxContainerResources>): LinuxContainerResources =>
    LinuxContainerResources.fromPartial(part);
  const update = async (containerId: string, part: Partial<LinuxContainerResources>): Promise<void> => {
    await daemon.cri.call(runtime.updateContainerResources, { containerId, linux: partial(part) });
  };
  /** Of VMM and file server, as the kernel lists them. */
  const cpusOfBox = async (id: string): Promise<string> => {
    const lists = new Set<string>();
    for (const { pid } of await boxProcesses(daemon.scope)) {
      if (!(await readFile(`/proc/${pid}/cmdline`, "utf8")).includes(id.slice(0, 24))) continue;
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      lists.add(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "?");
    }
    return [...lists].join(" and ");
  };
  const limitsOf = async (id: string, ...files: readonly string[]): Promise<string[]> => {
    const line = files.map((file) => `cat /sys/fs/cgroup/${file}`).join(" && ");
    return (await shell(daemon, id, line)).trim().split("\n");
  };

  it("are those of the config: weight, quota, memory, unified keys, OOM score; not swap", async () => {
    const resources = partial({
      cpuShares: 512n,
      cpuQuota: 30_000n,
      cpuPeriod: 50_000n,
      memoryLimitInBytes: 48n << 20n,
      memorySwapLimitInBytes: 48n << 20n,
      oomScoreAdj: 321n,
      hugepageLimits: [
        { pageSize: "2MB", limit: 0n },
        { pageSize: "1GB", limit: 0n },
      ],
      unified: { "pids.max": "77", "memory.high": String(40 << 20), "memory.oom.group": "1", "rdma.max": "x" },
    });
    const id = await startContainer(daemon, pod, { linux: { resources } });
    const files = ["cpu.weight", "cpu.max", "memory.max", "pids.max", "memory.high", "memory.oom.group"];
    expect(await limitsOf(id, ...files)).to.deep.equal([
      "20",
      "30000 50000",
      String(48 << 20),
      "77",
      String(40 << 20),
      "1",
    ]);
    expect(await shell(daemon, id, "cat /proc/self/oom_score_adj")).to.equal("321\n");
    await removeContainer(daemon, id);
  });

  it("given anew are an OOM score of what runs and of later execs, but for a program that has chosen its own", async () => {
    const inner = "echo 777 > /proc/self/oom_score_adj; exec sleep 5001";
    const command = [
      "sh",
      "-c",
      `sh -c '${inner}' & echo $! > /own; sleep 5002 & echo $! > /other; echo $$ > /init; exec sleep 5003`,
    ];
    const id = await startContainer(daemon, pod, { command, linux: { resources: partial({ oomScoreAdj: 321n }) } });
    const files = "/proc/$(cat /own)/oom_score_adj /proc/$(cat /other)/oom_score_adj /proc/$(cat /init)/oom_score_adj";
    const scores = async (): Promise<string[]> => (await shell(daemon, id, `cat ${files}`)).trim().split("\n");
    await eventually("all run", 10_000, async () => ((await scores()).join() === "777,321,321" ? true : undefined));
    await update(id, { oomScoreAdj: 654n });
    expect(await scores()).to.deep.equal(["777", "654", "654"]);
    expect(await shell(daemon, id, "cat /proc/self/oom_score_adj")).to.equal("654\n");
    await update(id, { memoryLimitInBytes: 64n << 20n });
    expect(await scores()).to.deep.equal(["777", "654", "654"]);
    expect((await containerStatus(daemon, id)).resources?.linux?.oomScoreAdj).to.equal(654n);
    await removeContainer(daemon, id);
  });

  it("that are CPUs of the host are those of the whole Box: all that its containers have, and all when one has no limit", async () => {
    const own = await runPod(daemon);
    const all = await cpusOfBox(own.id);
    const on = async (cpusetCpus: string): Promise<string> =>
      await createContainer(daemon, own, { linux: { resources: partial({ cpusetCpus, cpusetMems: "0" }) } });
    const first = await on("1");
    expect(await cpusOfBox(own.id)).to.equal("1");
    await update(first, { cpusetCpus: "0" });
    expect(await cpusOfBox(own.id)).to.equal("0");
    await failure(
      update(first, { cpusetCpus: "0,4095" }),
      status.INVALID_ARGUMENT,
      /cpuset_cpus "0,4095": the host has no CPU 4095 \(it has 0/,
    );
    await failure(on("two"), status.INVALID_ARGUMENT, /cpuset_cpus "two" is no list.*0-3,7/);
    expect(await cpusOfBox(own.id)).to.equal("0");
    const anywhere = await createContainer(daemon, own);
    expect(await cpusOfBox(own.id)).to.equal(all);
    // Beside one that may run anywhere the kernel is not asked.
    for (const nowhere of [{ cpusetCpus: "0,4095" }, { cpusetCpus: "0", cpusetMems: "63" }]) {
      const linux = { resources: partial(nowhere) };
      const said = /cpuset_(cpus "0,4095": the host has no CPU 4095|mems "63": the host has no memory node 63)/;
      await failure(createContainer(daemon, own, { linux }), status.INVALID_ARGUMENT, said);
      await failure(update(anywhere, nowhere), status.INVALID_ARGUMENT, said);
    }
    const { containers } = await daemon.cri.call(runtime.listContainers, { filter: undefined });
    const ofPod = containers.filter(({ podSandboxId }) => podSandboxId === own.id).map(({ id }) => id);
    expect(ofPod).to.have.members([first, anywhere]);
    expect(await cpusOfBox(own.id)).to.equal(all);
    await removeContainer(daemon, anywhere);
    expect(await cpusOfBox(own.id)).to.equal("0");
    await removeContainer(daemon, first);
    expect(await cpusOfBox(own.id)).to.equal(all);
    await removePod(daemon, own);
  });

  describe("that are huge pages", () => {
    const files = "/sys/kernel/mm/hugepages/hugepages-2048kB";
    /** Those that the guest's kernel keeps, without what a file holds of those given back. */
    const setAside = async (): Promise<number> => {
      const [all = "", surplus = ""] = (
        await shell(daemon, one, `cat ${files}/nr_hugepages ${files}/surplus_hugepages`)
      ).split("\n");
      return Number(all) - Number(surplus);
    };
    const pages = (mib: number, pageSize = "2MB"): Partial<LinuxContainerResources> => ({
      hugepageLimits: [{ pageSize, limit: BigInt(mib) << 20n }],
    });
    const take = (id: string, file: string, mib: number): Promise<string> =>
      shell(daemon, id, `fallocate -l ${String(mib)}M /pages/${file} 2>&1 && echo taken || true`);
    const undo = new Undo();
    let volume: string;
    before(async function () {
      volume = await mkdtemp(join(daemon.base, "pages-"));
      undo.add(() => rmdir(volume));
      try {
        execFileSync("mount", ["-t", "hugetlbfs", "-o", "pagesize=2M,size=32M", "none", volume], { stdio: "pipe" });
      } catch (thrown) {
        skipBecause(this, `this machine mounts no hugetlbfs: ${messageOf(thrown)}`);
      }
      undo.add(() => Promise.resolve(execFileSync("umount", [volume])));
      await chown(volume, 0, 4321);
      await chmod(volume, 0o2775);
    });
    after(async () => {
      await undo.run();
    });

    it("are set aside in the guest and taken from a volume, by each container up to its limit, and given back", async () => {
      const mounts = [{ hostPath: volume, containerPath: "/pages" }];
      const start = (part: Partial<LinuxContainerResources>): Promise<string> =>
        startContainer(daemon, pod, { mounts, linux: { resources: partial(part) } });
      const zero = { pageSize: "1GB", limit: 0n };
      const first = await start({ hugepageLimits: [zero, { pageSize: "2MB", limit: 8n << 20n }] });
      expect(await setAside()).to.equal(4);
      expect(await limitsOf(first, "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max")).to.deep.equal(["8388608", "8388608"]);
      const facts =
        "stat -f -c %S /pages && stat -c '%a %g' /pages && grep -c ' /pages .*size=32M\\|size=33554432' /proc/mounts";
      expect(await shell(daemon, first, facts)).to.equal("2097152\n2775 4321\n1\n");
      expect(await take(first, "a", 8)).to.equal("taken\n");
      expect(await take(first, "b", 2)).to.match(/No space left|Cannot allocate/);

      const second = await start(pages(4));
      expect(await setAside()).to.equal(6);
      expect(await shell(daemon, second, "stat -c %s /pages/a")).to.equal("8388608\n");
      await update(second, pages(0));
      expect(await setAside()).to.equal(4);
      expect(await take(second, "c", 2)).to.match(/No space left|Cannot allocate/);
      await update(second, pages(2));
      await update(second, { cpuShares: 512n });
      expect([await setAside(), await limitsOf(second, "hugetlb.2MB.max")]).to.deep.equal([5, ["2097152"]]);
      expect(await take(second, "d", 2)).to.equal("taken\n");
      const shown = (await containerStatus(daemon, second)).resources?.linux?.hugepageLimits;
      expect(shown).to.deep.equal([{ pageSize: "2MB", limit: 2n << 20n }]);

      await removeContainer(daemon, first);
      expect(await setAside()).to.equal(1);
      expect(await shell(daemon, second, "ls /pages")).to.equal("a\nb\nc\nd\n");
      await removeContainer(daemon, second);
    });

    it("more than the guest has are refused with the way out", async () => {
      const most = { linux: { resources: partial(pages(Number(podBytes >> 20n))) } };
      const made = createContainer(daemon, pod, most);
      await failure(made, status.RESOURCE_EXHAUSTED, /no room for \d+ more huge pages.*memory limits.*memory-mib/);
    });
  });

  it("change one by one: each update leaves what it does not name, and one in error changes nothing", async () => {
    const resources = { memoryLimitInBytes: 64n << 20n, cpuQuota: 50_000n, cpuPeriod: 100_000n, cpuShares: 1024n };
    const id = await startContainer(daemon, pod, { linux: { resources } });
    const files = ["memory.max", "cpu.max", "cpu.weight", "pids.max"];
    const before = await limitsOf(id, ...files);
    await update(id, {});
    expect(await limitsOf(id, ...files)).to.deep.equal(before);
    await update(id, { cpuShares: 2n });
    await update(id, { unified: { "pids.max": "99" } });
    await update(id, { cpuQuota: -1n });
    expect(await limitsOf(id, ...files)).to.deep.equal([String(64 << 20), "max 100000", "1", "99"]);
    const wrong: Partial<LinuxContainerResources>[] = [
      { memoryLimitInBytes: 96n << 20n, cpuQuota: 5n },
      { memoryLimitInBytes: -1n },
      { cpuShares: 4n, unified: { "../memory.max": "1" } },
    ];
    for (const part of wrong) await failure(update(id, part), status.INVALID_ARGUMENT);
    expect(await limitsOf(id, ...files)).to.deep.equal([String(64 << 20), "max 100000", "1", "99"]);
    const found = (await containerStatus(daemon, id)).resources?.linux;
    expect([found?.memoryLimitInBytes, found?.cpuQuota, found?.cpuShares]).to.deep.equal([64n << 20n, -1n, 2n]);
    await daemon.cri.call(runtime.stopContainer, { containerId: id, timeout: 0n });
    await failure(update(id, { cpuShares: 4n }), status.FAILED_PRECONDITION, /has exited/);
    await removeContainer(daemon, id);
    await failure(update("0".repeat(64), { cpuShares: 4n }), status.NOT_FOUND);
  });

  it("of the pod are granted within its Box, and refused beyond it with what the Box has", async () => {
    const ask = async (podSandboxId: string, part: Partial<LinuxContainerResources>): Promise<void> => {
      const request = { podSandboxId, overhead: undefined, resources: partial(part) };
      await daemon.cri.call(runtime.updatePodSandboxResources, request);
    };
    await ask(pod.id, { memoryLimitInBytes: 200n << 20n, cpuQuota: 50_000n, cpuPeriod: 100_000n });
    await ask(pod.id, { memoryLimitInBytes: podBytes });
    await ask(pod.id, {});
    const beyond = ask(pod.id, { memoryLimitInBytes: podBytes + (44n << 20n) });
    await failure(beyond, status.FAILED_PRECONDITION, /can't grow to 556 MiB: its Box has 512.*recreate the pod/);
    const cpus = ask(pod.id, { cpuQuota: 6_400_000n, cpuPeriod: 100_000n });
    await failure(cpus, status.FAILED_PRECONDITION, /can't grow to 64 CPUs/);
    await failure(ask(pod.id, { memoryLimitInBytes: -1n }), status.INVALID_ARGUMENT);
    await failure(ask("0".repeat(64), {}), status.NOT_FOUND);
    expect(await shell(daemon, one, "echo runs")).to.equal("runs\n");
  });

  it("that a container has used up kill it alone: the pod and its other containers live on", async () => {
    const id = await startContainer(daemon, pod, {
      command: ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=30M"],
      linux: { resources: { memoryLimitInBytes: 16n << 20n } },
    });
    const found = await exited(daemon, id);
    expect([found.reason, found.exitCode]).to.deep.equal(["OOMKilled", 137]);
    await removeContainer(daemon, id);
    expect((await podStatus(daemon, pod.id)).state).to.equal(PodSandboxState.SANDBOX_READY);
    expect(await shell(daemon, one, "echo runs")).to.equal("runs\n");
    expect((await containerStatus(daemon, one)).finishedAt).to.equal(0n);
  });

  it("show on the host: what a container takes of memory is in what its pod costs", async () => {
    const used = async (): Promise<number> => {
      const { stats } = await daemon.cri.call(runtime.podSandboxStats, { podSandboxId: pod.id });
      return Number(stats?.linux?.memory?.usageBytes?.value ?? 0n);
    };
    const before = await used();
    // dd has all of it in one buffer, written to, and waits for a reader; what the guest has freed before it uses first
    const line = `dd if=/dev/zero bs=${String(takenMiB)}M count=1 2>/dev/null | sleep 4329`;
    const id = await startContainer(daemon, pod, { command: ["sh", "-c", line] });
    await eventually("the pod costs what was taken", 40_000, async () =>
      (await used()) - before > seenOfItMiB << 20 ? true : undefined,
    );
    await removeContainer(daemon, id);
  });
});
