/**
 * `bench network`: what a Box's network gives beside that of a pod of runc, both on one bridge in one run, asked in turn
 * from the node. Streams and datagrams as fast as they go, and round trips of one byte.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Daemon, nativeHandler } from "../../test/support/daemon.js";
import { busybox } from "../../test/support/images.js";
import { NodeNetwork } from "../../test/support/node-network.js";
import { buildPeer, peerLayer } from "../../test/support/peer/peer.js";
import { podStatus, runPod, saidSomething, shell, startContainer } from "../../test/support/pods.js";
import { driverOf } from "../../test/support/driver-of.js";
import { machineFacts, percentile, round, row, type Ratio, type Report } from "../report.js";

/** "up" is into the pod. */
const streams = [
  ["up", "TCP into the pod"],
  ["down", "TCP out of the pod"],
  ["udp-up", "UDP into the pod, what arrived"],
  ["udp-down", "UDP out of the pod, what arrived"],
] as const;
const latency = "TCP round trip of a byte";
const streamMs = 400;
const roundTrips = 200;
const port = 9000;
const mib = 1024 * 1024;

/**
 * Against a pod of runc, which has a veth and this kernel's network alone. An emulated guest's network runs at the speed
 * of emulation: these goals are half of what was seen there (test/net/README.md), and tell when something breaks. On KVM they
 * have not been taken.
 */
const leastThroughput = 0.028;
const mostLatency = 20;

interface Side {
  readonly name: "Box" | "runc";
  readonly address: string;
  readonly values: Map<string, number[]>;
}

export async function benchNetwork({ runs }: { readonly runs: number }): Promise<Report> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-bench-network-"));
  const node = await NodeNetwork.create();
  try {
    const peer = await buildPeer(directory);
    const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipam: node.ipam("10.96.30.0/24") };
    await node.configure([bridge]);
    const { layers, ...image } = await busybox();
    const images = [{ ...image, layers: [...layers, await peerLayer(peer)] }];
    const config = `${node.daemonConfig}${nativeHandler}`;
    const daemon = await Daemon.start({ images, config, nodeNetns: node.netns });
    try {
      const sides = [await startSide(daemon, "Box", ""), await startSide(daemon, "runc", "native")];
      for (let turn = 0; turn < runs; turn += 1) for (const side of sides) await measure(node, peer, side);
      return report(await driverOf(daemon), sides);
    } finally {
      await daemon.remove();
    }
  } finally {
    await node.remove();
    await rm(directory, { recursive: true, force: true });
  }
}

async function startSide(daemon: Daemon, name: Side["name"], handler: string): Promise<Side> {
  const pod = await runPod(daemon, {}, handler);
  const container = await startContainer(daemon, pod, { command: ["peer", "serve-measure", String(port)] });
  await saidSomething(daemon, container);
  if (name === "Box") console.error(`features of the Box's network device: ${await features(daemon, container)}`);
  const { network } = await podStatus(daemon, pod.id);
  return { name, address: network?.ip ?? "", values: new Map() };
}

/** linux/virtio_net.h: checksums and segmentation, ours and the other side's. */
const offloads = { csum: 0, guestCsum: 1, guestTso4: 7, guestTso6: 8, hostTso4: 11, hostTso6: 12, mergedBuffers: 15 };

async function features(daemon: Daemon, container: string): Promise<string> {
  const bits = await shell(daemon, container, "cat /sys/class/net/eth0/device/features");
  return Object.entries(offloads)
    .map(([name, bit]) => `${name} ${bits[bit] === "1" ? "on" : "off"}`)
    .join(", ");
}

async function measure(node: NodeNetwork, peer: string, { address, values }: Side): Promise<void> {
  const ask = async (kind: string, amount: number): Promise<number[]> => {
    const words = [kind, address, String(port), String(amount)];
    return (await node.run(peer, "measure", ...words)).trim().split("\n").map(Number);
  };
  const add = (name: string, ...more: readonly number[]): void => {
    values.set(name, [...(values.get(name) ?? []), ...more]);
  };
  for (const [kind, name] of streams) {
    const [bytes = 0, microseconds = 0] = await ask(kind, streamMs);
    if (microseconds > 0) add(name, ((bytes / microseconds) * 1e6) / mib);
  }
  add(latency, ...(await ask("latency", roundTrips)));
}

function report(driver: string, sides: readonly Side[]): Report {
  const p50 = (side: Side["name"], name: string): number =>
    percentile(sides.find((one) => one.name === side)?.values.get(name) ?? [], 50);
  const p99 = (side: Side["name"]): number =>
    percentile(sides.find((one) => one.name === side)?.values.get(latency) ?? [], 99);
  const throughput = streams.map(([, name]): Ratio => {
    const value = round(p50("Box", name) / p50("runc", name));
    return { name: `${name}, Box / runc`, value, goal: leastThroughput, atLeast: true };
  });
  const slower = (name: string, value: number): Ratio => ({ name, value: round(value), goal: mostLatency });
  return {
    bench: "network",
    machine: machineFacts(driver),
    rows: sides.flatMap(({ name, values }) =>
      [...values].map(([what, all]) => row(`${name}: ${what}`, what === latency ? "µs" : "MiB/s", all)),
    ),
    ratios: [
      ...throughput,
      slower(`${latency} (p50), Box / runc`, p50("Box", latency) / p50("runc", latency)),
      slower(`${latency} (p99), Box / runc`, p99("Box") / p99("runc")),
    ],
  };
}
