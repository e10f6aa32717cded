import { containerdPrograms } from "../../scripts/setup/assets/containerd.js";
import type { SetupContext } from "../../scripts/setup/run.js";
import { Containerd } from "../../test/support/containerd.js";
import { image } from "../../test/support/cri-client.js";
import { busyboxSource } from "../../test/support/images.js";
import type { NodeNetwork } from "../../test/support/node-network.js";
import { pushImage, startRegistry } from "../../test/support/registry.js";

/** Pulls where the registry is, then runs pods where the bridge is. */
export async function startContainerd(
  context: SetupContext,
  directory: string,
  node: NodeNetwork,
): Promise<{ side: Containerd; image: string }> {
  const programs = await containerdPrograms(context);
  if (programs === undefined) throw new Error("the bench builds containerd: install Go");
  const registry = await startRegistry();
  try {
    const source = await busyboxSource({ Cmd: ["/bin/sleep", "1000000"] });
    const { reference } = await pushImage(registry.host, "busybox", "1", source);
    const puller = await Containerd.start(programs, directory, registry.host);
    await puller.cri.call(image.pullImage, { image: imageSpec(reference) });
    await puller.stop();
    const pods = { netns: node.netns, cniConfDir: node.confDir, pauseImage: reference };
    return { side: await Containerd.start(programs, directory, registry.host, pods), image: reference };
  } finally {
    await registry.stop();
  }
}

function imageSpec(reference: string) {
  return { image: reference, annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" };
}
