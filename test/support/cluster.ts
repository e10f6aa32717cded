/** A cluster of one node, of real parts: network, daemon, control plane, kubelet. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlPlane } from "./control-plane.js";
import { Daemon } from "./daemon.js";
import { busybox } from "./images.js";
import { Kubelet, nodeName } from "./kubelet.js";
import { NodeNetwork } from "./node-network.js";
import { buildPeer, peerLayer } from "./peer/peer.js";
import { Undo } from "./undo.js";
import { eventually } from "./wait.js";

export interface Cluster {
  readonly node: NodeNetwork;
  readonly daemon: Daemon;
  readonly plane: ControlPlane;
  readonly kubelet: Kubelet;
  remove(): Promise<void>;
}

const podSubnet = "10.97.7.0/24";
const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, hairpinMode: true };
const portmap = { type: "portmap", capabilities: { portMappings: true }, snat: true };

/** In the network namespace that this process is in, which must be nobody else's. `config`: TOML for the daemon. */
export async function startCluster(config = ""): Promise<Cluster> {
  const undo = new Undo();
  try {
    const folder = await mkdtemp(join(tmpdir(), "a3s-c"));
    undo.add(() => rm(folder, { recursive: true, force: true }));
    const node = await NodeNetwork.here();
    undo.add(() => node.remove());
    await node.configure([{ ...bridge, ipam: node.ipam(podSubnet, "fd97:7::/64") }, portmap]);
    const { layers, ...rest } = await busybox();
    const images = [{ ...rest, layers: [...layers, await peerLayer(await buildPeer(folder))] }];
    const daemon = await Daemon.start({ images, config: node.daemonConfig + config, nodeNetns: node.netns });
    undo.add(() => daemon.remove());
    const plane = await ControlPlane.start();
    undo.add(() => plane.remove());
    // The API server comes to the kubelet by the node's address.
    const kubelet = await Kubelet.start(daemon, { kubeconfig: plane.kubeconfig, more: { address: "0.0.0.0" } });
    undo.add(() => kubelet.remove());
    await plane.startProxy(nodeName, podSubnet);
    await eventually("the node is there", 60_000, async () => {
      await plane.kubectl("get", "node", nodeName);
      return true;
    });
    return { node, daemon, plane, kubelet, remove: () => undo.run() };
  } catch (thrown) {
    await undo.run();
    throw thrown;
  }
}
