/** containerd with runc as the runtime of a node, in the network namespace that this process is in, for a kubelet. */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Containerd } from "./containerd.js";
import { removeAllPods } from "./cri-client.js";
import { cgroupHierarchies } from "./daemon.js";
import { busyboxSource } from "./images.js";
import type { PodRuntime } from "./kubelet.js";
import type { NodeNetwork } from "./node-network.js";
import { type ImageSource, pushImage, startRegistry } from "./registry.js";
import { Undo } from "./undo.js";

export interface ContainerdNode extends PodRuntime {
  /** Of the image that it was given. */
  readonly image: string;
  readonly logTail: () => Promise<string>;
  readonly remove: () => Promise<void>;
}

export interface ContainerdNodeOptions {
  /** containerd's and its shim's directory. */
  readonly programs: string;
  readonly network: NodeNetwork;
  /** Kubelet pulls it. */
  readonly image: ImageSource;
  /** Else the distribution's. */
  readonly runc?: string;
}

const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true };

export async function startContainerdNode(options: ContainerdNodeOptions): Promise<ContainerdNode> {
  const undo = new Undo();
  try {
    return await start(options, undo);
  } catch (thrown) {
    await undo.run();
    throw thrown;
  }
}

async function start({ programs, network, image, runc }: ContainerdNodeOptions, undo: Undo): Promise<ContainerdNode> {
  await network.configure([{ ...bridge, ipam: network.ipam("10.97.8.0/24") }]);
  const registry = await startRegistry();
  undo.add(() => registry.stop());
  const pause = await busyboxSource({ Cmd: ["/bin/sleep", "1000000"] });
  const { reference: pauseImage } = await pushImage(registry.host, "pause", "1", pause);
  const { reference } = await pushImage(registry.host, "build", "1", image);
  const directory = await mkdtemp(join(tmpdir(), "a3s-d"));
  undo.add(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o711); // root of a pod's user namespace is another user
  const cgroupParent = `/a3s-d${randomBytes(4).toString("hex")}`;
  for (const hierarchy of await cgroupHierarchies()) {
    await mkdir(join(hierarchy, cgroupParent));
    undo.add(() => rmdir(join(hierarchy, cgroupParent)));
  }
  const pods = { netns: network.netns, cniConfDir: network.confDir, pauseImage };
  const containerd = await Containerd.start(programs, directory, registry.host, {
    ...pods,
    ...(runc === undefined ? {} : { runc }),
  });
  undo.add(() => containerd.stop());
  return {
    ...{ socket: containerd.socket, cgroupParent, image: reference },
    removePods: () => removeAllPods(containerd.cri),
    logTail: () => containerd.logTail(),
    remove: () => undo.run(),
  };
}
