/** Pods on the distribution's bridge, in a namespace that stands for the node: who reaches whom, and what is left after. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { Protocol, type PodSandboxStatus } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import { nodeAddress, nodeLinks, NodeNetwork } from "../support/node-network.js";
import { buildPeer, peerLayer } from "../support/peer/peer.js";
import {
  exec,
  podStatus,
  removePod,
  runPod,
  saidSomething,
  shell,
  startContainer,
  type Pod,
  type PodConfigPart,
} from "../support/pods.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";

const port = 9000;
const hostPort = 12_000;
/** Gateway of the pods; the node's address on the bridge. */
const gateway = { v4: "10.96.7.1", v6: "fd96:7::1" };
const mtu = 1400;
/** At once, to a pod and from a pod: `A3S_TEST_CONNECTIONS=10000`. */
const connections = Number(process.env["A3S_TEST_CONNECTIONS"] ?? "0");
const manyPort = 9002;
/** The largest datagram that IPv4 has (65,535 less both headers). */
const largestDatagram = 65_507;

interface Member {
  readonly pod: Pod;
  readonly container: string;
  readonly v4: string;
  readonly v6: string;
}

describe("Network", () => {
  let directory: string;
  let peer: string;
  let node: NodeNetwork;
  let daemon: Daemon;
  let atStart: MachineState;
  let rulesAtStart: string;
  let server: Member;
  let client: Member;

  const rules = async (): Promise<string> => (await node.run("iptables-save")) + (await node.run("ip6tables-save"));
  const chain = [
    {
      ...{ type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, hairpinMode: true, mtu },
      dns: { nameservers: ["192.0.2.53"], search: ["net.test"], options: ["ndots:3"] },
    },
    { type: "portmap", capabilities: { portMappings: true }, snat: true },
  ];

  const member = async (name: string, part: PodConfigPart): Promise<Member> => {
    const pod = await runPod(daemon, part);
    const container = await startContainer(daemon, pod, { command: ["peer", "serve", String(port), name] });
    await saidSomething(daemon, container);
    const [v4 = "", v6 = ""] = addresses(await podStatus(daemon, pod.id));
    return { pod, container, v4, v6 };
  };
  const addresses = ({ network }: PodSandboxStatus): string[] =>
    network === undefined ? [] : [network.ip, ...network.additionalIps.map(({ ip }) => ip)];
  const fromNode = (kind: "tcp" | "udp", address: string, to = port, bytes = 1_000): Promise<string> =>
    node.run(peer, kind, address, String(to), String(bytes));
  const fromPod = (one: Member, kind: "tcp" | "udp", address: string, to = port, bytes = 1_000): Promise<string> =>
    shell(daemon, one.container, `peer ${kind} ${address} ${String(to)} ${String(bytes)}`);

  before(async function () {
    this.timeout(limit(120_000));
    directory = await mkdtemp(join(tmpdir(), "a3s-p"));
    peer = await buildPeer(directory);
    node = await NodeNetwork.create();
    const [first, ...rest] = chain;
    await node.configure([{ ...first, ipam: node.ipam("10.96.7.0/24", "fd96:7::/64") }, ...rest]);
    const { layers, ...image } = await busybox();
    const images = [{ ...image, layers: [...layers, await peerLayer(peer)] }];
    daemon = await Daemon.start({ images, config: node.daemonConfig, nodeNetns: node.netns });
    atStart = await daemon.machine();
    // The bridge, and the chains that portmap makes once, are no pod's: they are there from the first pod on.
    await removePod(daemon, await runPod(daemon, { portMappings: [portMapping(hostPort + 1)] }));
    rulesAtStart = await rules();
    await node.serve(peer, "serve", "9001", "node");
    await node.serve(peer, "serve-many", String(manyPort));
    server = await member("server", {
      portMappings: [portMapping(hostPort), { ...portMapping(hostPort), protocol: Protocol.UDP }],
      dnsConfig: { servers: ["10.10.10.10"], searches: ["google.com"], options: ["ndots:8"] },
    });
    client = await member("client", {});
  });

  after(async function () {
    this.timeout(limit(60_000));
    try {
      await (daemon as Daemon | undefined)?.remove();
    } finally {
      await (node as NodeNetwork | undefined)?.remove();
      await rm(directory, { recursive: true, force: true });
    }
  });

  const portMapping = (onHost: number) => ({ hostPort: onHost, containerPort: port, protocol: Protocol.TCP });

  describe("what a pod has", () => {
    it("has in the guest the addresses that PodSandboxStatus tells, each once, IPv4 first", async () => {
      expect(server.v4).to.match(/^10\.96\.7\.\d+$/);
      expect(server.v6).to.match(/^fd96:7::/);
      const shown = await shell(daemon, server.container, "ip -o addr show dev eth0 scope global");
      const found = [...shown.matchAll(/inet6? ([^/ ]+)\/(\d+)/g)].map(([, address, bits]) => `${address}/${bits}`);
      expect(found).to.have.members([`${server.v4}/24`, `${server.v6}/64`]);
    });

    it("has routes by the gateway, for IPv4 and IPv6", async () => {
      expect(await shell(daemon, server.container, "ip route")).to.contain(`default via ${gateway.v4} dev eth0`);
      expect(await shell(daemon, server.container, "ip -6 route")).to.contain(`default via ${gateway.v6} dev eth0`);
    });

    it("has the MTU of its network, and the MAC that the others see", async () => {
      const [shown = "", mac = ""] = (
        await shell(daemon, server.container, "cat /sys/class/net/eth0/mtu /sys/class/net/eth0/address")
      ).split("\n");
      expect(shown).to.equal(String(mtu));
      await fromNode("tcp", server.v4);
      await fromNode("tcp", server.v6);
      const neighbours = await node.run("ip", "neighbour", "show", "dev", "pods");
      for (const address of [server.v4, server.v6]) expect(neighbours).to.contain(`${address} lladdr ${mac} `);
    });

    it("has the resolv.conf that its config asks for, or else the network's", async () => {
      const [asked, network] = await Promise.all(
        [server, client].map(({ container }) => shell(daemon, container, "cat /etc/resolv.conf")),
      );
      expect(asked).to.equal("search google.com\nnameserver 10.10.10.10\noptions ndots:8\n");
      expect(network).to.equal("search net.test\nnameserver 192.0.2.53\noptions ndots:3\n");
    });
  });

  describe("who reaches whom", () => {
    for (const family of ["v4", "v6"] as const) {
      it(`host to pod: TCP and UDP over IP${family}, which see the host's address`, async () => {
        expect(await fromNode("tcp", server[family])).to.equal(`server from ${gateway[family]}\n`);
        expect(await fromNode("udp", server[family])).to.equal("echoed\n");
      });

      it(`pod to host: TCP and UDP over IP${family}, which see the pod's address`, async () => {
        expect(await fromPod(client, "tcp", gateway[family], 9001)).to.equal(`node from ${client[family]}\n`);
        expect(await fromPod(client, "udp", gateway[family], 9001)).to.equal("echoed\n");
      });

      it(`pod to pod: TCP and UDP over IP${family}, which see the pod's address`, async () => {
        expect(await fromPod(client, "tcp", server[family])).to.equal(`server from ${client[family]}\n`);
        expect(await fromPod(client, "udp", server[family])).to.equal("echoed\n");
      });

      it(`datagrams of 64 KiB over IP${family}, from the host and from a pod, there and back`, async () => {
        expect(await fromNode("udp", server[family], port, largestDatagram)).to.equal("echoed\n");
        expect(await fromPod(client, "udp", server[family], port, largestDatagram)).to.equal("echoed\n");
      });

      it(`pings over IP${family}`, async () => {
        const ping = family === "v4" ? "ping" : "ping6";
        expect(await shell(daemon, client.container, `${ping} -c 1 -W 10 ${server[family]}`)).to.contain(
          "1 packets rec",
        );
      });
    }

    it("a pod to an address of the node that is not on the bridge", async () => {
      expect(await fromPod(client, "tcp", nodeAddress, 9001)).to.match(/^node from /);
    });

    it("100 KB on one connection, from the host and from a pod", async () => {
      await fromNode("tcp", server.v4, port, 100_000);
      await fromPod(client, "tcp", server.v6, port, 100_000);
    });
  });

  describe("many connections", () => {
    /** "TCP: inuse 3 orphan 0 …", of both families. */
    const inUse = async (): Promise<number> => {
      const text = await shell(daemon, server.container, "cat /proc/net/sockstat /proc/net/sockstat6");
      return [...text.matchAll(/^TCP6?: inuse (\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
    };

    it(`${String(connections)} connections held at once, to a pod and from it: each echoes, and all are gone in the end`, async function () {
      if (connections === 0) skipBecause(this, "it takes long: set A3S_TEST_CONNECTIONS=10000");
      this.timeout(limit(300_000));
      const many = await startContainer(daemon, server.pod, { command: ["peer", "serve-many", String(manyPort)] });
      await saidSomething(daemon, many);
      const before = await inUse();
      const count = String(connections);
      const all = `${count} echoed\n`;
      expect(await node.run(peer, "many", server.v4, String(manyPort), count)).to.equal(all);
      expect(await node.run(peer, "many", server.v6, String(manyPort), count)).to.equal(all);
      for (const address of [gateway.v4, gateway.v6]) {
        const words = ["peer", "many", address, String(manyPort), count];
        expect(await exec(daemon, server.container, words, 120)).to.deep.equal({
          stdout: all,
          stderr: "",
          exitCode: 0,
        });
      }
      await eventually("they are gone", 10_000, async () => ((await inUse()) <= before ? true : undefined));
    });
  });

  describe("a host port", () => {
    it("leads to the pod from the host: by each of its addresses and by 127.0.0.1, TCP and UDP", async () => {
      for (const address of [nodeAddress, gateway.v4, "127.0.0.1"]) {
        expect(await fromNode("tcp", address, hostPort)).to.match(/^server from /);
        expect(await fromNode("udp", address, hostPort)).to.equal("echoed\n");
      }
      expect(await fromNode("tcp", gateway.v6, hostPort)).to.match(/^server from /);
    });

    it("leads to the pod from another pod", async () => {
      expect(await fromPod(client, "tcp", nodeAddress, hostPort)).to.match(/^server from /);
      expect(await fromPod(client, "udp", nodeAddress, hostPort)).to.equal("echoed\n");
    });

    it("leads back to the pod that has it (hairpin)", async () => {
      expect(await fromPod(server, "tcp", nodeAddress, hostPort)).to.match(/^server from /);
      expect(await fromPod(server, "udp", nodeAddress, hostPort)).to.equal("echoed\n");
    });

    it("is refused to a second pod, which leaves nothing", async () => {
      const before = await daemon.machine();
      const [linksBefore, reservedBefore] = [await node.links(), await node.reserved()];
      const call = runPod(daemon, { portMappings: [portMapping(hostPort)], logDirectory: "" });
      await failure(call, status.ALREADY_EXISTS, /host port 12000\/tcp is taken by pod/);
      await expectSameMachine(daemon.scope, before);
      expect(await node.links()).to.have.members(linksBefore);
      expect(await node.reserved()).to.have.members(reservedBefore);
    });
  });

  describe("its end", () => {
    it("leaves no link, reservation or rule when its pods are removed", async () => {
      expect(await node.reserved()).to.have.members([server, client].flatMap(({ v4, v6 }) => [v4, v6]));
      expect(await rules()).to.contain(String(hostPort));
      await Promise.all([server, client].map(({ pod }) => removePod(daemon, pod)));
      await eventually("the links are gone", 5_000, async () =>
        (await node.links()).every((name) => name === "pods" || nodeLinks.includes(name)) ? true : undefined,
      );
      expect(await node.reserved()).to.deep.equal([]);
      expect(withoutCounters(await rules())).to.equal(withoutCounters(rulesAtStart));
      await expectSameMachine(daemon.scope, atStart);
    });

    it("is not ready without a configuration, says so, and refuses pods until there is one again", async () => {
      const condition = async () => {
        const { status: found } = await daemon.cri.call(runtime.status, {});
        return found?.conditions.find(({ type }) => type === "NetworkReady");
      };
      const before = await daemon.machine();
      expect((await condition())?.status).to.equal(true);
      await node.unconfigure();
      const gone = await condition();
      expect([gone?.status, gone?.reason]).to.deep.equal([false, "NetworkPluginNotReady"]);
      expect(gone?.message).to.contain(`no CNI configuration in ${node.confDir}`);
      await failure(runPod(daemon, { logDirectory: "" }), status.UNAVAILABLE, /no CNI configuration/);
      await expectSameMachine(daemon.scope, before);
      const [first, ...rest] = chain;
      await node.configure([{ ...first, ipam: node.ipam("10.96.7.0/24", "fd96:7::/64") }, ...rest]);
      expect((await condition())?.status).to.equal(true);
    });
  });
});

/** The packet counters and dates of iptables-save. */
function withoutCounters(saved: string): string {
  return saved.replaceAll(/^#.*$/gm, "").replaceAll(/\[\d+:\d+\]/g, "");
}
