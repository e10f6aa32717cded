/**
 * Chains of the distribution's CNI plugins, each with a Box and with a pod of the native handler: what the plugins have
 * set is what the pod has, who reaches whom, and nothing is left. `test/net/README.md` has the table.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { Protocol } from "../../src/gen/runtime/v1/api.js";
import { Daemon, nativeHandler } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import { nodeLinks, NodeNetwork } from "../support/node-network.js";
import { buildPeer, peerLayer } from "../support/peer/peer.js";
import { podStatus, runPod, saidSomething, shell, startContainer, type PodConfigPart } from "../support/pods.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";

/** Of the pods' servers, and of the node's: TCP and UDP echo, measurements, SCTP, multicast. */
const port = { echo: 9000, node: 9001, measure: 9002, sctp: 9003, group: 9004 };
const hostPort = 12_100;
const groups = ["239.96.1.1", "ff05::9601"];
/** Bytes per second that the bandwidth plugin lets through, and what it lets through at once. */
const rate = 3_000_000;
const burst = 300_000;

interface Member {
  readonly container: string;
  /** As PodSandboxStatus tells them, IPv4 first. */
  readonly addresses: readonly string[];
}

interface Chain {
  readonly name: string;
  readonly plugins: () => readonly object[];
  readonly pod?: PodConfigPart;
  /** The node's addresses, for pods. */
  readonly gateways: readonly string[];
  /** Two pods can't have it at once. */
  readonly alone?: true;
  /** Beside what all of them can. */
  readonly also?: (member: Member) => Promise<void>;
  /** What the node's kernel needs. */
  readonly needs?: string;
}

describe("Plugin chains", function () {
  this.timeout(limit(90_000));
  let directory: string;
  let peer: string;
  let node: NodeNetwork;
  let daemon: Daemon;
  let atStart: MachineState;

  const fromNode = (...words: readonly string[]): Promise<string> => node.run(peer, ...words);
  const inPod = ({ container }: Member, line: string): Promise<string> => shell(daemon, container, line);
  const fact = async (member: Member, file: string): Promise<string> =>
    (await inPod(member, `cat /sys/class/net/eth0/${file}`)).trim();

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-p"));
    peer = await buildPeer(directory);
    node = await NodeNetwork.create();
    await node.run("ip", "address", "add", "10.96.12.1/24", "dev", "outside");
    await node.run("ip", "address", "add", "fd96:12::1/64", "dev", "outside", "nodad");
    await node.serve(peer, "serve", String(port.node), "node");
    await node.serve(peer, "serve-measure", String(port.measure));
    await node.serve(peer, "serve-sctp", String(port.sctp));
    const { layers, ...image } = await busybox();
    const images = [{ ...image, layers: [...layers, await peerLayer(peer)] }];
    const handlers = process.env["A3S_TEST_HANDLER"] === "native" ? "" : nativeHandler;
    daemon = await Daemon.start({ images, config: `${node.daemonConfig}${handlers}`, nodeNetns: node.netns });
    atStart = await daemon.machine();
  });

  after(async () => {
    try {
      await (daemon as Daemon | undefined)?.remove();
    } finally {
      await (node as NodeNetwork | undefined)?.remove();
      await rm(directory, { recursive: true, force: true });
    }
  });

  const bridge = (name: string, ...subnets: readonly string[]) => ({
    ...{ type: "bridge", bridge: name, isGateway: true, ipMasq: true, hairpinMode: true, ipam: node.ipam(...subnets) },
  });
  const answersGroups = async (link: string, asked = groups): Promise<void> => {
    for (const group of asked) expect(await fromNode("group", group, String(port.group), link)).to.equal("answered\n");
  };
  const isHostPort = async (member: Member, address = "192.0.2.1"): Promise<void> => {
    expect(await fromNode("tcp", address, String(hostPort), "1000")).to.match(/^pod from /);
    expect(await inPod(member, `peer tcp ${address} ${hostPort} 1000`)).to.match(/^pod from /);
    expect(await fromNode("sctp", address, String(hostPort))).to.equal("init ack\n");
  };
  const hostPorts = [
    { hostPort, containerPort: port.echo, protocol: Protocol.TCP },
    { hostPort, containerPort: port.sctp, protocol: Protocol.SCTP },
  ];
  const portmap = { type: "portmap", capabilities: { portMappings: true }, snat: true };
  /** Bytes per second of a stream that takes 1 s, by the clock of who asks: the pod may be late to look. */
  const measured = async (work: () => Promise<string>): Promise<number> => {
    const beganMs = performance.now();
    const [bytes = 0] = (await work()).split("\n").map(Number);
    return (bytes / (performance.now() - beganMs)) * 1e3;
  };
  const isLimited = async (member: Member, gateway: string): Promise<void> => {
    const [address = ""] = member.addresses;
    const into = await measured(() => fromNode("measure", "up", address, String(port.measure), "1000"));
    const out = await measured(() => inPod(member, `peer measure up ${gateway} ${port.measure} 1000`));
    for (const one of [into, out]) expect(one).to.be.within(rate / 100, rate * 1.1 + burst);
  };

  const chains: Chain[] = [
    {
      name: "ptp, portmap; IPv4 and IPv6",
      plugins: () => [
        { type: "ptp", ipMasq: true, mtu: 1300, ipam: node.ipam("10.96.11.0/24", "fd96:11::/64") },
        portmap,
      ],
      pod: {
        portMappings: hostPorts,
        linux: { sysctls: { "net.ipv4.ip_forward": "1", "net.core.somaxconn": "600" } },
      },
      gateways: ["10.96.11.1", "fd96:11::1"],
      alone: true,
      also: async (member) => {
        const names = ["ip_forward", "ip_unprivileged_port_start", "ping_group_range"];
        const paths = ["core/somaxconn", ...names.map((name) => `ipv4/${name}`)].map((name) => `/proc/sys/net/${name}`);
        expect((await inPod(member, `cat ${paths.join(" ")}`)).split(/\s+/)).to.deep.equal(
          ["600", "1", "0", "0", "2147483647", ""], // as asked for, then as every pod has them
        );
        expect(await fact(member, "mtu")).to.equal("1300");
        await isHostPort(member);
      },
    },
    {
      name: "macvlan; IPv4 and IPv6",
      needs: "macvlan",
      plugins: () => [{ type: "macvlan", master: "uplink", ipam: node.ipam("10.96.12.0/24", "fd96:12::/64") }],
      gateways: ["10.96.12.1", "fd96:12::1"],
      also: () => answersGroups("outside"),
    },
    {
      name: "bridge, loopback; IPv6 alone",
      plugins: () => [bridge("br-six", "fd96:15::/64"), { type: "loopback" }],
      gateways: ["fd96:15::1"],
      also: () => answersGroups("br-six", groups.slice(1)),
    },
    {
      name: "bridge, portmap, bandwidth, firewall, tuning; IPv4",
      needs: "ifb",
      plugins: () => [
        { ...bridge("br-many", "10.96.13.0/24"), mtu: 1350 },
        portmap,
        { type: "firewall" },
        {
          type: "bandwidth",
          ingressRate: rate * 8,
          ingressBurst: burst * 8,
          egressRate: rate * 8,
          egressBurst: burst * 8,
        },
        {
          ...{ type: "tuning", mac: "0a:00:00:00:13:05", mtu: 1350, promisc: true, allmulti: true },
          sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.core.somaxconn": "500" },
        },
      ],
      pod: { portMappings: hostPorts },
      gateways: ["10.96.13.1"],
      alone: true,
      also: async (member) => {
        const facts = await Promise.all(["address", "mtu", "flags"].map((file) => fact(member, file)));
        expect(facts).to.deep.equal(["0a:00:00:00:13:05", "1350", "0x1303"]); // up, broadcast, multicast, promisc, allmulti
        const sysctls = "/proc/sys/net/ipv4/conf/eth0/arp_filter /proc/sys/net/core/somaxconn";
        expect(await inPod(member, `cat ${sysctls}`)).to.equal("1\n500\n");
        await isHostPort(member);
        await isLimited(member, "10.96.13.1");
      },
    },
    {
      name: "bridge, then a plugin that adds an interface, a route, a neighbour and a queue; IPv4",
      plugins: () => [bridge("br-more", "10.96.14.0/24"), { type: "more" }],
      gateways: ["10.96.14.1"],
      also: async (member) => {
        expect(await inPod(member, "ip route")).to.contain("198.51.100.0/24 via 10.96.14.1 dev eth0");
        expect(await inPod(member, "ip neigh")).to.match(
          /10\.96\.14\.99 dev eth0 lladdr 02:00:00:00:00:63 .*PERMANENT/,
        );
        expect(await fact(member, "tx_queue_len")).to.equal("77");
        expect(await inPod(member, "cat /etc/resolv.conf")).to.equal("nameserver 192.0.2.53\n");
        await answersGroups("br-more", groups.slice(0, 1));
      },
    },
  ];
  /** Another interface of the pod's, as meta plugins make them, and more on the first. */
  const more = `
    if (command === "ADD") {
      run("ip link add net1 type veth peer name net1-end && ip address add 10.96.77.2/24 dev net1 && ip link set net1 up");
      run("ip link set eth0 txqueuelen 77 && ip neigh add 10.96.14.99 lladdr 02:00:00:00:00:63 dev eth0");
      run("ip route add 198.51.100.0/24 via 10.96.14.1 dev eth0");
      const { interfaces, ips, ...rest } = call.prevResult;
      const sandbox = process.env.CNI_NETNS;
      return {
        ...rest,
        interfaces: [...interfaces, { name: "net1", sandbox }],
        ips: [{ address: "10.96.77.2/24", interface: interfaces.length }, ...ips],
        dns: { nameservers: ["192.0.2.53"] },
      };
    }`;

  const servers = [
    `peer serve-measure ${port.measure}`,
    `peer serve-sctp ${port.sctp}`,
    ...groups.map((group) => `peer serve-group ${group} ${port.group} eth0`),
    `peer serve ${port.echo} pod`,
  ];
  const member = async ({ pod: part = {} }: Chain, handler: string): Promise<Member> => {
    const pod = await runPod(daemon, part, handler);
    const container = await startContainer(daemon, pod, { command: ["sh", "-c", `${servers.join(" & ")} & wait`] });
    await saidSomething(daemon, container, servers.length);
    const { network } = await podStatus(daemon, pod.id);
    if (network === undefined) throw new Error("the pod has no network");
    return { container, addresses: [network.ip, ...network.additionalIps.map(({ ip }) => ip)] };
  };

  const nodeAndPod = async (one: Member, gateways: readonly string[]): Promise<void> => {
    expect(one.addresses).to.have.length(gateways.length);
    for (const [index, address] of one.addresses.entries()) {
      const gateway = gateways[index] ?? "";
      expect(await fromNode("tcp", address, String(port.echo), "100000")).to.match(/^pod from /);
      expect(await fromNode("udp", address, String(port.echo), "65000")).to.equal("echoed\n");
      expect(await fromNode("sctp", address, String(port.sctp))).to.equal("init ack\n");
      expect(await inPod(one, `peer tcp ${gateway} ${port.node} 100000`)).to.equal(`node from ${address}\n`);
      expect(await inPod(one, `peer udp ${gateway} ${port.node} 65000`)).to.equal("echoed\n");
      expect(await inPod(one, `peer sctp ${gateway} ${port.sctp}`)).to.equal("init ack\n");
      const ping = address.includes(":") ? "ping6" : "ping";
      expect(await inPod(one, `${ping} -c 1 -W 10 ${gateway}`)).to.contain("1 packets rec");
    }
  };

  const podAndPod = async (from: Member, to: Member): Promise<void> => {
    for (const [index, address] of to.addresses.entries()) {
      const source = from.addresses[index] ?? "";
      expect(await inPod(from, `peer tcp ${address} ${port.echo} 100000`)).to.equal(`pod from ${source}\n`);
      expect(await inPod(from, `peer udp ${address} ${port.echo} 65000`)).to.equal("echoed\n");
    }
  };

  const expectNothingLeft = async (): Promise<void> => {
    await daemon.removePods();
    expect(await node.reserved()).to.deep.equal([]);
    const left = (await node.links()).filter((name) => !nodeLinks.includes(name) && !name.startsWith("br-"));
    expect(left).to.deep.equal([]);
    await expectSameMachine(daemon.scope, atStart);
  };

  for (const chain of chains) {
    const { name, plugins, gateways, also, needs, alone } = chain;
    it(`${name}: a Box and a native pod are what the plugins make them, reach and are reached, leave nothing`, async function () {
      if (needs !== undefined && !(await node.canLink(needs))) skipBecause(this, `this kernel has no ${needs}`);
      await node.plugin("more", more);
      await node.configure(plugins());
      const native = await member(chain, "native");
      await nodeAndPod(native, gateways);
      await also?.(native);
      if (alone) await expectNothingLeft();
      const box = await member(chain, "");
      await nodeAndPod(box, gateways);
      await also?.(box);
      if (!alone) {
        await podAndPod(native, box);
        await podAndPod(box, native);
      }
      await expectNothingLeft();
    });
  }
});
