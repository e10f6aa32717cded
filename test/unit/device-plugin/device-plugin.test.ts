import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { createLogger } from "../../../src/base/log.js";
import { DevicePlugin, type DevicePluginOptions } from "../../../src/device-plugin/device-plugin.js";
import { Metrics } from "../../../src/metrics/metrics.js";
import { FakeKubelet } from "../../support/device-plugin/fake-kubelet.js";
import { OtherPlugin } from "../../support/device-plugin/other-plugin.js";
import { Undo } from "../../support/undo.js";
import { eventually } from "../../support/wait.js";
import { sample } from "../metrics/sample.js";

const times = { lookMs: 20, answerMs: 400, testEveryMs: 40, retryMs: 200 };
const usable = { usable: true, reason: "KVM self-test passed" };
const broken = { usable: false, reason: "KVM self-test failed: suberror 1" };
const count = 4;
const longMs = 5000;

describe("the device plugin", () => {
  const undo = new Undo();
  let base: string;
  let directory: string;
  let kubelet: FakeKubelet;
  let metrics: Metrics;
  let verdict: typeof usable;
  const device = (name: string): string => join(base, name);

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), "a3s-dp-"));
    undo.add(() => rm(base, { recursive: true, force: true }));
    directory = join(base, "device-plugins");
    await mkdir(directory);
    for (const name of ["kvm", "tun"]) await writeFile(device(name), "", { mode: 0o660 });
    kubelet = new FakeKubelet(directory);
    undo.add(() => {
      kubelet.stop();
      return Promise.resolve();
    });
    metrics = new Metrics();
    verdict = usable;
  });

  afterEach(async () => {
    await undo.run();
  });

  /** Ended with the test, or by what `ends` is given. */
  const open = (more: Partial<DevicePluginOptions["config"]> = {}, ends = new Undo()): DevicePlugin => {
    const end = new AbortController();
    const plugin = new DevicePlugin({
      config: { count, directory, takeoverMs: 300, chmodKvm: false, ...more },
      log: createLogger("error"),
      figures: metrics.devicePlugin,
      selfTest: () => Promise.resolve(verdict),
      devices: [device("kvm"), device("tun")],
      times,
    });
    const running = plugin.run(end.signal);
    ends.add(async () => {
      end.abort();
      await running;
    });
    undo.add(() => ends.run());
    return plugin;
  };
  const is = async (plugin: DevicePlugin, state: string): Promise<void> => {
    await eventually(`the plugin is ${state}`, longMs, () => (plugin.facts.state === state ? true : undefined));
  };
  const told = async (health: string): Promise<void> => {
    await eventually(`kubelet has been told ${health}`, longMs, () =>
      kubelet.count(health) === count ? true : undefined,
    );
  };

  it("waits for kubelet, registers, and gives a container both devices", async () => {
    const plugin = open();
    await is(plugin, "waiting for kubelet");
    await kubelet.start();
    await is(plugin, "registered");
    expect(kubelet.registrations).to.deep.equal([
      {
        version: "v1beta1",
        endpoint: "a3s-box-kvm.sock",
        resourceName: "devices.kubevirt.io/kvm",
        options: { preStartRequired: false, getPreferredAllocationAvailable: false },
      },
    ]);
    await told("Healthy");
    const { containerResponses } = await kubelet.allocate(["kvm-2"]);
    const given = (path: string) => ({ containerPath: path, hostPath: path, permissions: "rw" });
    expect(containerResponses[0]?.devices).to.deep.equal([given(device("kvm")), given(device("tun"))]);
    const text = await metrics.text();
    expect(sample(text, "a3s_box_device_plugin_registered")).to.equal(1);
    expect(sample(text, 'a3s_box_device_plugin_devices{health="healthy"}')).to.equal(count);
    expect(sample(text, "a3s_box_device_plugin_allocations_total")).to.equal(1);
    expect(plugin.facts).to.include({ healthy: count, unhealthy: 0, reason: usable.reason });
  });

  it("gives KVM alone where the node has no tun", async () => {
    await rm(device("tun"));
    await kubelet.start();
    await is(open(), "registered");
    const { containerResponses } = await kubelet.allocate(["kvm-0"]);
    expect(containerResponses[0]?.devices.map(({ hostPath }) => hostPath)).to.deep.equal([device("kvm")]);
  });

  it("is unhealthy while no guest runs, and healthy once one does", async () => {
    verdict = broken;
    await kubelet.start();
    const plugin = open();
    await is(plugin, "registered");
    await told("Unhealthy");
    expect(plugin.facts).to.include({ healthy: 0, unhealthy: count, reason: broken.reason });
    const refused: unknown = await kubelet.allocate(["kvm-0"]).catch((thrown: unknown) => thrown);
    expect(refused).to.include({ code: status.FAILED_PRECONDITION });
    expect(refused).to.have.property("details").that.contains("no guest runs by KVM here: KVM self-test failed");
    verdict = usable;
    await told("Healthy");
    expect(kubelet.registrations).to.have.length(1);
  });

  it("is unhealthy while the device is away, and tries it when it comes back", async () => {
    await kubelet.start();
    const plugin = open();
    await is(plugin, "registered");
    await rm(device("kvm"));
    await told("Unhealthy");
    expect(plugin.facts.reason).to.contain("there is no");
    await writeFile(device("kvm"), "");
    await told("Healthy");
  });

  it("refuses places that are none", async () => {
    await kubelet.start();
    await is(open(), "registered");
    const refused: unknown = await kubelet.allocate(["kvm-0", "kvm-4"]).catch((thrown: unknown) => thrown);
    expect(refused).to.include({ code: status.INVALID_ARGUMENT });
  });

  it("registers again, once, after kubelet's restart, which empties the directory", async () => {
    await kubelet.start();
    const plugin = open();
    await is(plugin, "registered");
    for (const starts of [2, 3]) {
      kubelet.stop();
      await kubelet.start();
      await eventually("it has registered again", longMs, () => kubelet.connections.length === starts || undefined);
      await is(plugin, "registered");
      await told("Healthy");
    }
    expect(kubelet.registrations).to.have.length(3);
  });

  it("waits for a kubelet that was killed, whose socket is still there", async () => {
    await kubelet.start();
    const plugin = open();
    await is(plugin, "registered");
    kubelet.stop();
    await writeFile(join(directory, "kubelet.sock"), "");
    await is(plugin, "failing");
    expect(plugin.facts.reason).to.contain("register with kubelet");
    await kubelet.start();
    await is(plugin, "registered");
  });

  it("registers again when kubelet has ended its connection", async () => {
    await kubelet.start();
    const plugin = open();
    await is(plugin, "registered");
    kubelet.hangUp();
    await eventually("it has registered again", longMs, () => kubelet.connections.length === 2 || undefined);
    await is(plugin, "registered");
    await told("Healthy");
  });

  for (const [manner, words] of [
    ["hangs", "Deadline exceeded"],
    ["refuses", "the name is not one"],
    ["forgets", "wait for kubelet's question"],
  ] as const) {
    it(`gives a kubelet up that ${manner}, says so, and tries again`, async () => {
      kubelet.manner = manner;
      await kubelet.start();
      const plugin = open();
      await is(plugin, "failing");
      expect(plugin.facts.reason).to.contain(words);
      kubelet.manner = "takes";
      await is(plugin, "registered");
      const text = await metrics.text();
      expect(sample(text, 'a3s_box_device_plugin_registrations_total{outcome="failed"}')).to.be.greaterThan(0);
      expect(sample(text, 'a3s_box_device_plugin_registrations_total{outcome="ok"}')).to.equal(1);
    });
  }

  it("does not register where KubeVirt's plugin answers, and takes over once that is gone", async () => {
    await kubelet.start();
    const other = await OtherPlugin.listen(directory);
    await other.register();
    const plugin = open();
    await is(plugin, "aside for KubeVirt");
    expect(kubelet.registrations.map(({ endpoint }) => endpoint)).to.deep.equal(["kubevirt-kvm.sock"]);
    await other.stop();
    await is(plugin, "registered");
    expect(kubelet.registrations.map(({ endpoint }) => endpoint)).to.deep.equal([
      "kubevirt-kvm.sock",
      "a3s-box-kvm.sock",
    ]);
  });

  it("does not register where KubeVirt's plugin answers although it need not be gone for any time", async () => {
    await kubelet.start();
    const other = await OtherPlugin.listen(directory);
    await other.register();
    const plugin = open({ takeoverMs: 0 });
    await eventually("it has looked around", longMs, () => plugin.facts.state !== "waiting for kubelet" || undefined);
    expect([plugin.facts.state, kubelet.registrations.length]).to.deep.equal(["aside for KubeVirt", 1]);
    await other.stop();
    await is(plugin, "registered");
  });

  it("keeps its connection, and still, while KubeVirt's plugin is in its place", async () => {
    await kubelet.start();
    const plugin = open({ takeoverMs: 500 });
    await is(plugin, "registered");
    const other = await OtherPlugin.listen(directory);
    await other.register();
    await is(plugin, "aside for KubeVirt");
    const [own] = kubelet.connections;
    const before = own?.lists.length;
    verdict = broken;
    await eventually("it has seen that no guest runs", longMs, () => plugin.facts.healthy === 0 || undefined);
    expect(own?.ended).to.equal(false);
    expect(own?.lists.length).to.equal(before);
    await other.stop();
    await is(plugin, "registered");
    await eventually("its old connection has ended", longMs, () => (own?.ended === true ? true : undefined));
    await told("Unhealthy");
    expect(kubelet.registrations).to.have.length(3);
  });

  it("comes back after KubeVirt's plugin when both go with kubelet", async () => {
    await kubelet.start();
    const plugin = open({ takeoverMs: 1000 });
    await is(plugin, "registered");
    const other = await OtherPlugin.listen(directory);
    await is(plugin, "aside for KubeVirt");
    kubelet.stop();
    await other.stop();
    await kubelet.start();
    const again = await OtherPlugin.listen(directory);
    await again.register();
    expect(kubelet.registrations.map(({ endpoint }) => endpoint)).to.deep.equal([
      "a3s-box-kvm.sock",
      "kubevirt-kvm.sock",
    ]);
    await again.stop();
    await is(plugin, "registered");
  });

  it("does not register beside another daemon of the node", async () => {
    await kubelet.start();
    await is(open(), "registered");
    const second = open();
    await is(second, "failing");
    expect(second.facts.reason).to.contain("another process serves").and.contain("device_plugin.enabled");
    expect(kubelet.registrations).to.have.length(1);
  });

  it("has a socket for root alone, and takes it away at the end", async () => {
    await kubelet.start();
    const ends = new Undo();
    await is(open({}, ends), "registered");
    expect((await stat(join(directory, "a3s-box-kvm.sock"))).mode & 0o777).to.equal(0o600);
    await ends.run();
    expect(existsSync(join(directory, "a3s-box-kvm.sock"))).to.equal(false);
    await eventually("kubelet has noticed", longMs, () => kubelet.newest.ended || undefined);
  });

  it("lets every user open the device where that is asked for, also when it was undone, and else leaves it", async () => {
    const modeOf = async (): Promise<number> => (await stat(device("kvm"))).mode & 0o777;
    const opened = async (): Promise<true | undefined> => ((await modeOf()) === 0o666 ? true : undefined);
    await chmod(device("kvm"), 0o660);
    await kubelet.start();
    const ends = new Undo();
    await is(open({}, ends), "registered");
    expect(await modeOf()).to.equal(0o660);
    await ends.run();
    open({ chmodKvm: true });
    await eventually("its mode is 0666", longMs, opened);
    await chmod(device("kvm"), 0o600);
    await eventually("its mode is 0666 again", longMs, opened);
  });
});
