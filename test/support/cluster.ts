/** A cluster of one node, of real parts: network, daemon, control plane, kubelet, kube-proxy as a pod. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlPlane } from "./control-plane.js";
import { Daemon, nativeHandler } from "./daemon.js";
import { busybox, type NamedImage } from "./images.js";
import { kubeProxy } from "./kube-proxy.js";
import { Kubelet, nodeName } from "./kubelet.js";
import { NodeNetwork } from "./node-network.js";
import { buildPeer, peerLayer } from "./peer/peer.js";
import { Undo } from "./undo.js";
import { eventually, limit } from "./wait.js";

export interface Cluster {
  readonly node: NodeNetwork;
  readonly daemon: Daemon;
  readonly plane: ControlPlane;
  readonly kubelet: Kubelet;
  /** Runs kubectl to its end; answers its standard output. */
  readonly kubectl: (...args: readonly string[]) => Promise<string>;
  /** `kubectl wait`, for as many seconds. */
  readonly wait: (what: string, condition: string, seconds?: number) => Promise<string>;
  remove(): Promise<void>;
}

export interface ClusterOptions {
  /** TOML for the daemon: tables. */
  readonly config?: string;
  /** Besides busybox. */
  readonly images?: readonly NamedImage[];
  /** RBAC: who may do what is as the cluster's objects say. Else everybody may do everything. */
  readonly authorization?: "RBAC";
  /** Members of the kubelet's configuration. */
  readonly kubelet?: Readonly<Record<string, unknown>>;
  /** Undoes what there is of it, and throws its reason. */
  readonly signal?: AbortSignal;
  /** Gives images and containers a disk of their own, of so many bytes; else they are on the machine's. */
  readonly diskBytes?: number;
}

const podSubnet = "10.97.7.0/24";
const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, hairpinMode: true };
const portmap = { type: "portmap", capabilities: { portMappings: true }, snat: true };

/** In the network namespace that this process is in, which must be nobody else's. */
export async function startCluster({
  config = "",
  images: others = [],
  authorization,
  kubelet: more,
  diskBytes,
  signal,
}: ClusterOptions = {}): Promise<Cluster> {
  const undo = new Undo();
  try {
    const directory = await mkdtemp(join(tmpdir(), "a3s-c"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    const node = await NodeNetwork.here();
    undo.add(() => node.remove());
    signal?.throwIfAborted();
    await node.configure([{ ...bridge, ipam: node.ipam(podSubnet, "fd97:7::/64") }, portmap]);
    const { layers, ...rest } = await busybox();
    const images = [{ ...rest, layers: [...layers, await peerLayer(await buildPeer(directory))] }, ...others];
    const wanted = `host_namespaces = "native"\n${node.daemonConfig}${nativeHandler}${config}`;
    const daemon = await Daemon.start({ images, config: wanted, nodeNetns: node.netns, diskBytes });
    undo.add(() => daemon.remove());
    signal?.throwIfAborted();
    const plane = await ControlPlane.start(authorization === undefined ? {} : { authorization });
    undo.add(() => plane.remove());
    signal?.throwIfAborted();
    // The API server comes to the kubelet by the node's address.
    const kubelet = await Kubelet.start(daemon, {
      kubeconfig: plane.kubeconfig,
      more: { address: "0.0.0.0", ...more },
    });
    undo.add(() => kubelet.remove());
    signal?.throwIfAborted();
    const kubectl = (...args: readonly string[]): Promise<string> => plane.kubectl(...args);
    await plane.apply(kubeProxy(plane.kubeconfig, nodeName, podSubnet));
    await eventually("kube-proxy is ready", 180_000, async () => {
      const ready = ["-n", "kube-system", "get", "daemonset", "kube-proxy", "-o", "jsonpath={.status.numberReady}"];
      return signal?.aborted === true || (await kubectl(...ready)) === "1" ? true : undefined;
    });
    signal?.throwIfAborted();
    const wait = (what: string, condition: string, seconds = 170): Promise<string> =>
      kubectl("wait", what, `--for=${condition}`, `--timeout=${String(limit(seconds * 1000) / 1000)}s`);
    return { node, daemon, plane, kubelet, kubectl, wait, remove: () => undo.run() };
  } catch (thrown) {
    await undo.run();
    throw thrown;
  }
}
