/** `devices.kubevirt.io/kvm` before a real kubelet: a pod that has it opens KVM, over kubelet's restart and beside KubeVirt's. */
import { existsSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { createLogger } from "../../src/base/log.js";
import { DevicePlugin } from "../../src/device-plugin/device-plugin.js";
import { Metrics } from "../../src/metrics/metrics.js";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { OtherPlugin } from "../support/device-plugin/other-plugin.js";
import { allocatable } from "../support/device-plugin/pod-resources.js";
import { busybox, busyboxImage } from "../support/images.js";
import { Kubelet, kubeletProgram, type PodView } from "../support/kubelet.js";
import { NodeNetwork } from "../support/node-network.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

/** kubelet's, wherever its root is. */
const directory = "/var/lib/kubelet/device-plugins";
const resource = "devices.kubevirt.io/kvm";
const count = 5;
const takeoverMs = 2000;

/** A pod of the host, not privileged, that opens both devices and stays. */
function kvmPod(name: string, limits: Readonly<Record<string, string>>): Record<string, unknown> {
  const line = `(exec 3<>/dev/kvm && exec 4<>/dev/net/tun && echo opened) || echo "none"; exec sleep 10000`;
  const command = ["sh", "-c", line];
  return {
    ...{ hostNetwork: true, terminationGracePeriodSeconds: 1, restartPolicy: "Never" },
    containers: [
      {
        name,
        image: busyboxImage,
        imagePullPolicy: "Never",
        resources: { limits: { memory: "32Mi", ...limits } },
        command,
      },
    ],
  };
}

describe("The device plugin before a real kubelet", function () {
  this.timeout(limit(300_000));
  const undo = new Undo();
  const metrics = new Metrics();
  const endPlugin = new Undo();
  let daemon: Daemon;
  let kubelet: Kubelet;
  let plugin: DevicePlugin;

  const gives = async (what: string, names: RegExp, number: number): Promise<void> => {
    await eventually(`kubelet can give ${String(number)} of ${what}`, 60_000, async () => {
      const found = await allocatable(kubelet.base, names);
      if (found.length !== number) throw new Error(`it can give ${JSON.stringify(found)}`);
      return true;
    });
  };
  const ours = /\bkvm-\d+/g;
  const others = /\bother-\d+/g;
  const is = async (state: string): Promise<void> => {
    await eventually(`the plugin is ${state}`, 60_000, () => {
      if (plugin.facts.state !== state) throw new Error(JSON.stringify(plugin.facts));
      return true;
    });
  };
  const logOf = async (name: string): Promise<string> =>
    await kubelet.secure("GET", `/containerLogs/default/${name}-node1/${name}`);
  const runs = async (name: string): Promise<PodView> =>
    await kubelet.until(name, "runs", 120_000, ({ status }) => status.phase === "Running");

  before(async function () {
    if (!existsSync(kubeletProgram)) skipBecause(this, "no kubelet: the set-up builds it where Go is installed");
    if (!existsSync("/dev/kvm")) skipBecause(this, "no /dev/kvm");
    const node = await NodeNetwork.here();
    undo.add(() => node.remove());
    daemon = await Daemon.start({ images: [await busybox()], config: 'host_namespaces = "native"\n' });
    undo.add(() => daemon.remove());
    kubelet = await Kubelet.start(daemon);
    undo.add(() => kubelet.remove());
    const end = new AbortController();
    plugin = new DevicePlugin({
      config: { count, directory, takeoverMs, chmodKvm: false },
      log: createLogger("error"),
      figures: metrics.devicePlugin,
      // This machine's KVM opens and runs no kernel: what is tried here is what kubelet makes of a machine whose does.
      selfTest: () => Promise.resolve({ usable: true, reason: "given by the test" }),
    });
    const running = plugin.run(end.signal);
    endPlugin.add(async () => {
      end.abort();
      await running;
    });
    undo.add(() => endPlugin.run());
  });

  after(async function () {
    await undo.run();
  });

  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    process.stderr.write(`${String(this.currentTest.err?.message)}\n--- kubelet\n${await kubelet.logTail()}\n`);
  });

  it("gives the node its places, and a pod that is not privileged both devices", async () => {
    await is("registered");
    await gives("the plugin's", ours, count);
    await kubelet.place("kvm", kvmPod("kvm", { [resource]: "1" }));
    await kubelet.place("plain", kvmPod("plain", {}));
    await runs("kvm");
    await eventually("it has opened both", 30_000, async () =>
      (await logOf("kvm")) === "opened\n" ? true : undefined,
    );
    await runs("plain");
    await eventually("the other has none", 30_000, async () =>
      (await logOf("plain")).endsWith("none\n") ? true : undefined,
    );
  });

  it("is there again after kubelet's restart, and the pod has lived through it", async () => {
    const before = await runs("kvm");
    await kubelet.stop();
    await kubelet.launch();
    await gives("the plugin's", ours, count);
    await is("registered");
    const { status } = await runs("kvm");
    expect(status.containerStatuses.map(({ containerID }) => containerID)).to.deep.equal(
      before.status.containerStatuses.map(({ containerID }) => containerID),
    );
  });

  it("leaves the resource to KubeVirt's plugin that comes later, and takes it over once that has gone", async () => {
    const other = await OtherPlugin.listen(directory, 3);
    await other.register();
    await gives("the other's", others, 3);
    await is("aside for KubeVirt");
    await gives("the other's", others, 3);
    await gives("the plugin's", ours, 0);
    await other.stop();
    await gives("the plugin's", ours, count);
    await is("registered");
  });

  it("does not register after kubelet's restart while KubeVirt's does, and the resource is that one's", async () => {
    const before = await OtherPlugin.listen(directory, 3);
    await before.register();
    await is("aside for KubeVirt");
    await kubelet.stop();
    await before.stop();
    await kubelet.launch();
    let other = await OtherPlugin.listen(directory, 3);
    // kubelet empties the directory when it comes, whoever is in it: KubeVirt's begins anew, too.
    await eventually("kubelet takes it", 90_000, async () => {
      try {
        await other.register();
        return true;
      } catch (thrown) {
        await other.stop();
        other = await OtherPlugin.listen(directory, 3);
        throw thrown;
      }
    });
    await gives("the other's", others, 3);
    await is("aside for KubeVirt");
    await other.stop();
    await gives("the plugin's", ours, count);
  });

  it("is the daemon's where the configuration says so, with its self-test's verdict, and says so in Status", async () => {
    await endPlugin.run();
    const config = `\n[device_plugin]\nenabled = true\ncount = 7\ndirectory = "${directory}"\n`;
    await appendFile(join(daemon.base, "config.toml"), config);
    await daemon.stop();
    await daemon.launch();
    const checked = (await daemon.command("check")).stdout;
    const runsGuests = /^KVM +OK/m.test(checked);
    await gives("the plugin's", ours, runsGuests ? 7 : 0);
    const { info } = await eventually("it is registered", 60_000, async () => {
      const status = await daemon.cri.call(runtime.status, { verbose: true });
      return status.info["devicePlugin"]?.includes('"registered"') === true ? status : undefined;
    });
    const facts: unknown = JSON.parse(info["devicePlugin"] ?? "null");
    expect(facts).to.include({ resource, healthy: runsGuests ? 7 : 0, unhealthy: runsGuests ? 0 : 7 });
    expect(checked).to.match(/^device plugin +(?:OK|missing \(optional\)) .*devices\.kubevirt\.io\/kvm/m);
  });
});
