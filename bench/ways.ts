/** The ways a pod comes to be, beside each other: a Box that is ready, one of a template, one that boots, and containerd with runc. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { interrupted } from "../scripts/setup/interrupted.js";
import { setupContext } from "../scripts/setup/set-up.js";
import { runtime, type CriClient } from "../test/support/cri-client.js";
import { Daemon } from "../test/support/daemon.js";
import { busybox, busyboxImage } from "../test/support/images.js";
import { NodeNetwork } from "../test/support/node-network.js";
import { projectDirectory } from "../test/support/project.js";
import { eventually } from "../test/support/wait.js";
import { startContainerd } from "./native/start-containerd.js";

/** Of a pod of any of the ways, so that one that is ready fits. */
export const resources = { memoryLimitInBytes: 512n << 20n, cpuPeriod: 100_000n, cpuQuota: 100_000n };

export interface Way {
  readonly name: "pool" | "template" | "boot" | "containerd";
  readonly cri: CriClient;
  readonly handler: string;
  readonly image: string;
  /** Whose directories pods have, containerd's too. */
  readonly host: Daemon;
}

export interface Ways extends Readonly<Record<Way["name"], Way>> {
  /** Resolves when as many Boxes are ready as are wanted: nothing is being made beside what is measured. */
  untilReady(): Promise<void>;
}

/** All four on one CNI bridge; `ready`: how many Boxes wait. Takes everything away after the work. */
export async function withWays<T>(ready: number, work: (ways: Ways) => Promise<T>): Promise<T> {
  const context = setupContext(projectDirectory, interrupted(), console.error);
  const node = await NodeNetwork.create();
  const directory = await mkdtemp(join(tmpdir(), "a3s-bench-ways-"));
  await node.configure([
    { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, ipam: node.ipam("10.96.9.0/24") },
  ]);
  const daemons: Daemon[] = [];
  const open = async (sandbox: string, more = ""): Promise<Daemon> => {
    const config = `${node.daemonConfig}[sandbox]\n${sandbox}\n${more}`;
    const daemon = await Daemon.start({ images: [await busybox()], config, nodeNetns: node.netns });
    daemons.push(daemon);
    return daemon;
  };
  try {
    const booting = await open('start = "boot"');
    const classes = `[handlers.quick]\nready = [{ vcpus = 1, memory_mib = 512, count = ${String(ready)} }]\n`;
    const pooled = await open('start = "template"', classes);
    const containerd = await startContainerd(context, directory, node);
    try {
      const ours = { image: busyboxImage, handler: "" };
      return await work({
        pool: { ...ours, name: "pool", host: pooled, cri: pooled.cri, handler: "quick" },
        template: { ...ours, name: "template", host: pooled, cri: pooled.cri },
        boot: { ...ours, name: "boot", host: booting, cri: booting.cri },
        containerd: { ...ours, name: "containerd", host: booting, cri: containerd.side.cri, image: containerd.image },
        untilReady: () => untilReady(pooled, ready),
      });
    } finally {
      await containerd.side.stop();
    }
  } finally {
    for (const daemon of daemons) await remove(daemon, node);
    await node.remove();
    await rm(directory, { recursive: true, force: true });
  }
}

async function untilReady(pool: Daemon, count: number): Promise<void> {
  await eventually(`${String(count)} ready Boxes`, 240_000, async () => {
    const { info } = await pool.cri.call(runtime.status, { verbose: true });
    return (info["pool"] ?? "").includes(`"ready":${String(count)}`) ? true : undefined;
  });
}

/** Also where a pod has failed. Boxes that are ready are no pods: a daemon that wants none takes them away. */
async function remove(daemon: Daemon, node: NodeNetwork): Promise<void> {
  await daemon.removePods();
  await daemon.reconfigure(node.daemonConfig);
  await eventually("no Box is left", 60_000, async () =>
    (await readdir(join(daemon.state, "boxes"))).length === 0 ? true : undefined,
  );
  await daemon.remove();
}
