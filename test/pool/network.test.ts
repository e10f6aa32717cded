/** Ready Boxes whose pods have a network: their interface was rehearsed, and nothing of that is the pod's. */
import { expect } from "chai";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import { NodeNetwork } from "../support/node-network.js";
import { exec, removePod, runPod, startContainer, type Pod } from "../support/pods.js";
import { eventually } from "../support/wait.js";

const gateway = "10.96.7.1";
const looks = [
  "ip addr show",
  "ip route show table all",
  "ip -6 route show table all",
  "ip neigh show",
  "cat /proc/net/igmp6",
  "cat /proc/net/dev_mcast",
  "cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu /sys/class/net/eth0/flags",
];

/** What the kernel makes of a MAC: the link-local address, as text and as digits, and the group of its neighbours' questions. */
function madeOf(mac: string): string[] {
  const parts = mac.split(":").map((part) => Number.parseInt(part, 16));
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = parts;
  const two = (high: number, low: number): string => (high * 256 + low).toString(16);
  const local = `${two(a ^ 2, b)}:${two(c, 0xff)}:${two(0xfe, d)}:${two(e, f)}`;
  const group = [d, e, f].map((part) => part.toString(16).padStart(2, "0")).join("");
  return [mac, local, `(?<=ff)${group}`];
}

describe("a ready Box for a pod with a network", function () {
  this.timeout(300_000);
  let node: NodeNetwork;
  let daemon: Daemon;
  let atStart: MachineState;
  before(async () => {
    node = await NodeNetwork.create();
    await node.configure([
      { type: "bridge", bridge: "ready", isGateway: true, ipMasq: true, ipam: node.ipam("10.96.7.0/24") },
    ]);
    daemon = await Daemon.start({ images: [await busybox()], config: config(0), nodeNetns: node.netns });
    atStart = await daemon.machine();
    await daemon.reconfigure(config(1));
  });
  after(async () => {
    try {
      await daemon.reconfigure(config(0)); // Boxes that are ready are no pods
      await expectSameMachine(daemon.scope, atStart, 60_000);
    } finally {
      await daemon.remove();
      await node.remove();
    }
  });

  function config(count: number): string {
    const ready = count === 0 ? "" : `ready = [{ vcpus = 1, memory_mib = 256, count = ${count} }]\n`;
    return `${node.daemonConfig}[handlers.quick]\n${ready}`;
  }

  async function readyOnes(): Promise<number> {
    const { info } = await daemon.cri.call(runtime.status, { verbose: true });
    const { boxes } = JSON.parse(info["pool"] ?? "{}") as { boxes?: readonly { ready: number }[] };
    return boxes?.[0]?.ready ?? 0;
  }

  /** Addresses differ from pod to pod, and what is made of them. */
  async function seenBy(pod: Pod): Promise<string[]> {
    const container = await startContainer(daemon, pod);
    const said = async (line: string): Promise<string> => (await exec(daemon, container, ["sh", "-c", line])).stdout;
    const mac = (await said("cat /sys/class/net/eth0/address")).trim();
    const address = (await said("ip -4 -o addr show eth0 | sed 's/.*inet //;s,/.*,,'")).trim();
    expect(await said(`ping -c 1 -W 5 ${gateway} | grep -c 'bytes from'`)).to.equal("1\n");
    const own = new RegExp(`\\b${address.replaceAll(".", "\\.")}\\b|${madeOf(mac).join("|")}`, "g");
    const found: string[] = [];
    for (const look of looks) {
      const text = await said(look);
      expect(text, look).not.to.match(/198\.51\.100\.|2001:db8|02:00:00:00:00:01/);
      const lines = text.replace(own, "<own>").split("\n");
      found.push(...lines.map((line) => `${look}: ${line.replace(/ (ref \d+ )?used .*/, "").trim()}`));
    }
    return found.sort();
  }

  it("has what one that has booted has, and nothing of the rehearsal", async () => {
    await eventually("a ready Box", 120_000, async () => ((await readyOnes()) > 0 ? true : undefined));
    const resources = { memoryLimitInBytes: 256n << 20n, cpuPeriod: 100_000n, cpuQuota: 100_000n };
    const ready = await runPod(daemon, { linux: { resources } }, "quick");
    expect(await readyOnes()).to.equal(0); // it was had
    const other = await runPod(daemon, { linux: { resources } });
    const stripped = (lines: readonly string[]): string[] =>
      lines.map((line) => line.replace(/\b[0-9a-f]{32}\b/g, "<v6>"));
    expect(stripped(await seenBy(ready))).to.deep.equal(stripped(await seenBy(other)));
    await removePod(daemon, ready);
    await removePod(daemon, other);
  });
});
