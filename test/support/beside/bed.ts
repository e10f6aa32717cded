/** containerd with runc, and this runtime, on one node: the same images from one registry, one bridge, one client. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { image } from "../cri-client.js";
import { Containerd } from "../containerd.js";
import { Daemon, nativeHandler } from "../daemon.js";
import { NodeNetwork } from "../node-network.js";
import { pushImage, startRegistry } from "../registry.js";
import { Undo } from "../undo.js";
import type { PodHost } from "../pods.js";
import { images } from "./images.js";

export type SideName = "containerd" | "box" | "native";

/** A runtime, or a handler of one, that the table is run through. */
export interface Side extends PodHost {
  readonly name: SideName;
  readonly handler: string;
  /** For volumes. */
  readonly directory: string;
  /** "127.0.0.1:PORT". */
  readonly registry: string;
}

export interface Bed {
  readonly sides: Readonly<Record<SideName, Side>>;
  readonly logTail: () => Promise<string>;
  readonly remove: () => Promise<void>;
}

/** In a network namespace that nobody else uses. `programs`: containerd's directory. */
export async function startBed(programs: string): Promise<Bed> {
  const undo = new Undo();
  try {
    return await build(programs, undo);
  } catch (thrown) {
    await undo.run();
    throw thrown;
  }
}

async function build(programs: string, undo: Undo): Promise<Bed> {
  const node = await NodeNetwork.here();
  undo.add(() => node.remove());
  const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, ipam: node.ipam("10.96.11.0/24") };
  await node.configure([bridge]);
  const registry = await startRegistry();
  undo.add(() => registry.stop());
  const references: string[] = [];
  for (const [name, source] of Object.entries(await images())) {
    references.push((await pushImage(registry.host, name, "1", source)).reference);
  }
  const directory = await mkdtemp(join(tmpdir(), "a3s-beside-"));
  undo.add(() => rm(directory, { recursive: true, force: true }));
  const daemon = await Daemon.start({ config: `${node.daemonConfig}${nativeHandler}`, nodeNetns: node.netns });
  undo.add(() => daemon.remove());
  const pauseImage = `${registry.host}/pause:1`;
  const pods = { netns: node.netns, cniConfDir: node.confDir, pauseImage };
  const containerd = await Containerd.start(programs, join(directory, "containerd"), registry.host, pods);
  undo.add(() => containerd.stop());
  for (const cri of [daemon.cri, containerd.cri]) {
    await Promise.all(references.map((reference) => cri.call(image.pullImage, { image: imageSpec(reference) })));
  }
  const side = async (name: SideName, handler: string): Promise<Side> => {
    const own = join(directory, name);
    await mkdir(join(own, "logs"), { recursive: true });
    const { cri } = name === "containerd" ? containerd : daemon;
    const { cgroupParent } = daemon;
    return { name, cri, handler, cgroupParent, logs: join(own, "logs"), directory: own, registry: registry.host };
  };
  return {
    sides: {
      containerd: await side("containerd", ""),
      box: await side("box", ""),
      native: await side("native", "native"),
    },
    logTail: () => daemon.logTail(),
    remove: () => undo.run(),
  };
}

function imageSpec(reference: string) {
  return { image: reference, annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" };
}
