/**
 * A kubelet whose CPU manager is static: it gives containers of guaranteed pods CPUs of the host for themselves, and takes
 * those away from all others (docs/adr/0042). In a network namespace of its own, which `npm run test:kubelet` makes.
 */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { expect } from "chai";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { Kubelet, kubeletProgram } from "../support/kubelet.js";
import { NodeNetwork } from "../support/node-network.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";
import { container, idle, shell } from "./objects.js";

const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true };
/** CPU 0 is reserved: who asks for one CPU for himself gets the next. */
const [all, reserved, exclusive] = [`0-${String(cpus().length - 1)}`, "0", "1"];
const others = cpus().length === 2 ? reserved : `${reserved},2-${String(cpus().length - 1)}`.replace(",2-2", ",2");

describe("A kubelet with a static CPU manager", function () {
  this.timeout(limit(300_000));
  let daemon: Daemon;
  let kubelet: Kubelet;
  const undo = new Undo();

  before("a node, and two pods that may run anywhere", async function () {
    if (process.env["A3S_TEST_CPU_MANAGER"] === undefined) skipBecause(this, "takes minutes: A3S_TEST_CPU_MANAGER=1");
    if (!existsSync(kubeletProgram)) skipBecause(this, "no kubelet: the set-up builds it where Go is installed");
    if (cpus().length < 2) skipBecause(this, "a machine with one CPU has none to give away");
    const node = await NodeNetwork.here();
    undo.add(() => node.remove());
    await node.configure([{ ...bridge, ipam: node.ipam("10.97.8.0/24", "fd97:8::/64") }]);
    const config = `host_namespaces = "native"
sandbox.boot_timeout_ms = ${String(limit(120_000))}
sandbox.run_timeout_ms = ${String(limit(220_000))}
`;
    daemon = await Daemon.start({
      images: [await busybox()],
      config: config + node.daemonConfig,
      nodeNetns: node.netns,
    });
    undo.add(() => daemon.remove());
    kubelet = await Kubelet.start(daemon, {
      // Less than a CPU reserved makes one that nobody gets for himself, and leaves the rest of it to the other pods.
      more: { cpuManagerPolicy: "static", cpuManagerReconcilePeriod: "1s", systemReserved: { cpu: "200m" } },
    });
    undo.add(() => kubelet.remove());
    await place("shared", {});
    await kubelet.place("host", {
      ...{ terminationGracePeriodSeconds: 2, hostNetwork: true },
      containers: [{ name: "main", ...container, command: shell(idle) }],
    });
    for (const name of ["shared", "host"]) await kubelet.ready(name);
  });
  after(async function () {
    this.timeout(limit(180_000));
    await undo.run();
  });
  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    process.stderr.write(`--- kubelet\n${await kubelet.logTail()}\n--- daemon\n${await daemon.logTail()}\n`);
  });

  /** Without a wish of its own for resources it shares what nobody has for himself. */
  const place = async (name: string, { cpu }: { readonly cpu?: string }): Promise<void> => {
    const resources = cpu === undefined ? container.resources : { limits: { cpu, memory: "64Mi" } };
    const main = { name: "main", ...container, resources, command: shell(idle) };
    await kubelet.place(name, { terminationGracePeriodSeconds: 2, containers: [main] });
  };
  /** Of the Box, or of the container of the pod of the host: the group that processes of it are in has its id in its path. */
  const idOf = async (name: string): Promise<string> => {
    const { metadata, status } = await kubelet.ready(name);
    if (name === "host") return status.containerStatuses[0]?.containerID.split("//")[1] ?? "none";
    const labelSelector = { "io.kubernetes.pod.uid": metadata.uid };
    const filter = { id: "", state: undefined, labelSelector };
    return (await daemon.cri.call(runtime.listPodSandbox, { filter })).items[0]?.id ?? "none";
  };
  /** The CPUs that its threads may run on. */
  const allowed = async (name: string): Promise<string[]> => {
    const id = await idOf(name);
    const lists = new Set<string>();
    for (const pid of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry))) {
      if (!(await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "")).includes(id)) continue;
      for (const task of await readdir(`/proc/${pid}/task`).catch(() => [])) {
        const status = await readFile(`/proc/${pid}/task/${task}/status`, "utf8").catch(() => "");
        const list = /^Cpus_allowed_list:\t(.*)$/m.exec(status)?.[1];
        if (list !== undefined) lists.add(list);
      }
    }
    return [...lists];
  };
  const runOn = async (name: string, list: string): Promise<void> => {
    await eventually(`${name} runs on ${list}`, 60_000, async () => {
      expect(await allowed(name)).to.deep.equal([list]);
      return true;
    });
  };

  it("lets pods run anywhere while nobody has a CPU for himself", async () => {
    for (const name of ["shared", "host"]) await runOn(name, all);
  });

  it("gives a Box, all threads of it, the CPU that its container has for itself, and the others the rest", async () => {
    await place("exclusive", { cpu: "1" });
    await runOn("exclusive", exclusive);
    for (const name of ["shared", "host"]) await runOn(name, others);
  });

  it("gives the CPU back when that pod has ended", async () => {
    await kubelet.withdraw("exclusive");
    for (const name of ["shared", "host"]) await runOn(name, all);
  });
});
