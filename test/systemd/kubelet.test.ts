/**
 * A real kubelet where systemd is number 1 (test/support/systemd): it makes a slice for each pod by systemd, and the
 * daemon a scope in it. In a network namespace of its own, which `npm run test:systemd` makes.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { z } from "zod";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { Kubelet, kubeletProgram, type PodView } from "../support/kubelet.js";
import { NodeNetwork } from "../support/node-network.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";
import { container, idle, shell } from "../kubelet/objects.js";

const run = promisify(execFile);
const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true };
const figuresSchema = z.object({
  pods: z.array(
    z.looseObject({
      podRef: z.looseObject({ name: z.string() }),
      containers: z
        .array(z.looseObject({ cpu: z.looseObject({ usageCoreNanoSeconds: z.number().positive() }) }))
        .min(1),
    }),
  ),
});

describe("A kubelet under systemd", function () {
  this.timeout(limit(180_000));
  let daemon: Daemon;
  let kubelet: Kubelet;
  /** "box", and "host" where a container on the host can have the weight of CPU that a kubelet gives to each. */
  const pods = new Map<string, PodView>();
  let weighs = false;
  const undo = new Undo();

  before("a node", async function () {
    if (process.env["A3S_TEST_SYSTEMD"] === undefined) throw new Error("run it by npm run test:systemd");
    if (!existsSync(kubeletProgram)) skipBecause(this, "no kubelet: the set-up builds it where Go is installed");
    const node = await NodeNetwork.here();
    undo.add(() => node.remove());
    await node.configure([{ ...bridge, ipam: node.ipam("10.97.7.0/24", "fd97:7::/64") }]);
    const config = `host_namespaces = "native"
sandbox.boot_timeout_ms = ${String(limit(120_000))}
sandbox.run_timeout_ms = ${String(limit(220_000))}
${node.daemonConfig}[cgroup]
driver = "systemd"
`;
    daemon = await Daemon.start({ images: [await busybox()], config, nodeNetns: node.netns });
    undo.add(() => daemon.remove());
    const featureGates = { PodAndContainerStatsFromCRI: true };
    kubelet = await Kubelet.start(daemon, { more: { cgroupRoot: "/", cgroupDriver: "cgroupfs", featureGates } });
    undo.add(() => kubelet.remove());
  });
  after(async function () {
    this.timeout(limit(180_000));
    await undo.run();
  });
  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    process.stderr.write(`--- kubelet\n${await kubelet.logTail()}\n--- daemon\n${await daemon.logTail()}\n`);
  });

  const scopes = async (): Promise<string[]> => await units("a3s-box-*.scope");
  async function units(pattern: string): Promise<string[]> {
    const { stdout } = await run("systemctl", ["list-units", "--all", "--plain", "--legend=no", pattern]);
    return [...stdout.matchAll(/^\S+/gm)].map(([name]) => name);
  }
  async function shown(unit: string, property: string): Promise<string> {
    return (await run("systemctl", ["show", "--value", "-p", property, unit])).stdout.trim();
  }
  async function sandboxOf(pod: PodView): Promise<string> {
    const labelSelector = { "io.kubernetes.pod.uid": pod.metadata.uid };
    const { items } = await daemon.cri.call(runtime.listPodSandbox, {
      filter: { id: "", state: undefined, labelSelector },
    });
    expect(items).to.have.lengthOf(1);
    return items[0]?.id ?? "";
  }

  it("learns from the runtime that systemd makes the groups, whatever its configuration says", async function () {
    this.timeout(limit(180_000));
    await eventually("its slices are there", 150_000, async () => {
      // It ends when a slice goes that it is about to set; those of other tests' pods do. A node's unit starts it again.
      if (!kubelet.isRunning) await kubelet.launch();
      const wanted = ["kubepods.slice", "kubepods-besteffort.slice", "kubepods-burstable.slice"];
      expect(await units("kubepods*.slice")).to.include.members(wanted); // other tests' pods have some too
      return true;
    });
  });

  describe("with pods", () => {
    before("one in a Box, and one on the host where that can be", async function () {
      if (process.env["A3S_TEST_SYSTEMD_PODS"] === undefined)
        skipBecause(this, "takes a minute: A3S_TEST_SYSTEMD_PODS=1");
      const limits = { cpu: "500m", memory: "64Mi" };
      const probe = { exec: { command: ["true"] }, periodSeconds: 1, timeoutSeconds: 30 };
      const main = { name: "main", ...container, command: shell(idle), resources: { limits }, readinessProbe: probe };
      const host = { name: "main", ...container, command: shell(idle) };
      await kubelet.place("box", { terminationGracePeriodSeconds: 2, containers: [main] });
      weighs = (await readFile("/sys/fs/cgroup/cgroup.controllers", "utf8")).split(/\s/).includes("cpu");
      if (weighs)
        await kubelet.place("host", { terminationGracePeriodSeconds: 2, hostNetwork: true, containers: [host] });
      for (const name of weighs ? ["box", "host"] : ["box"]) pods.set(name, await kubelet.ready(name));
    });

    /** As kubelet names it: the class of service, then the pod. */
    const sliceOf = (name: string, { metadata }: PodView): string =>
      `kubepods-${name === "box" ? "" : "burstable-"}pod${metadata.uid.replaceAll("-", "_")}.slice`;

    for (const name of ["box", "host"]) {
      it(`has the ${name} pod in a scope of the slice that kubelet made for it`, async function () {
        const pod = pods.get(name);
        if (pod === undefined) return skipBecause(this, "this machine has the CPU's controller in version 1");
        const slice = sliceOf(name, pod);
        const scope = `a3s-box-${await sandboxOf(pod)}.scope`;
        expect(await shown(scope, "Slice")).to.equal(slice);
        expect(await shown(scope, "Delegate")).to.equal("yes");
        const group = await shown(scope, "ControlGroup");
        expect(group).to.match(new RegExp(`^/kubepods\\.slice/.*${slice}/${scope}$`));
        const inScope = (await readFile(join("/sys/fs/cgroup", group, "cgroup.procs"), "utf8")).trim();
        const programs = inScope === "" ? [] : inScope.split("\n");
        // VMM and file server, which are one under krun; those of the host are in groups below
        const ofBox = process.env["A3S_TEST_DRIVER"] === "krun" ? 1 : 2;
        expect(programs).to.have.lengthOf(name === "box" ? ofBox : 0);
      });
    }

    it("has figures of its pods", async () => {
      await eventually("they are in the summary", 60_000, async () => {
        const { pods: told } = figuresSchema.parse(await kubelet.json("/stats/summary"));
        const names = told.map(({ podRef }) => podRef.name.split("-")[0]);
        expect(names).to.have.members([...pods.keys()]);
        return true;
      });
    });

    it("keeps the pods when the daemon comes back, and the kubelet where it can", async () => {
      const before = await scopes();
      // One that finds its slices there does not start before it has given them a weight.
      if (weighs) await kubelet.stop();
      await daemon.stop("SIGKILL");
      await daemon.launch();
      if (weighs) await kubelet.launch();
      for (const [name, pod] of pods) {
        const again = await kubelet.ready(name);
        const of = ({ status }: PodView) => status.containerStatuses.map((one) => [one.containerID, one.restartCount]);
        expect(of(again), name).to.deep.equal(of(pod));
      }
      expect(await scopes()).to.have.members(before);
    });

    it("leaves no scope, and no slice of a pod, when its pods are withdrawn", async () => {
      for (const name of pods.keys()) await kubelet.withdraw(name);
      await eventually("systemd has neither", 90_000, async () => {
        expect([...(await scopes()), ...(await units("kubepods-*pod*.slice"))]).to.deep.equal([]);
        return true;
      });
    });
  });
});
