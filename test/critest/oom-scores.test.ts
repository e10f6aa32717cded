/** In which order the host's kernel ends Boxes when memory runs out: as kubelet means it for their pods (docs/adr/0079). */
import { expect } from "chai";
import { readFile, writeFile } from "node:fs/promises";
import { LinuxContainerResources } from "../../src/gen/runtime/v1/api.js";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { boxProcesses } from "../support/machine.js";
import {
  createContainer,
  exited,
  removeContainer,
  removePod,
  runPod,
  startContainer,
  type ContainerConfigPart,
  type Pod,
} from "../support/pods.js";
import { eventually, limit } from "../support/wait.js";

const resources = (score: number): LinuxContainerResources => ({
  ...LinuxContainerResources.fromPartial({}),
  oomScoreAdj: BigInt(score),
});
const scored = (score: number): ContainerConfigPart => ({ linux: { resources: resources(score) } });

describe("OOM scores of Boxes", function () {
  this.timeout(limit(120_000));
  let daemon: Daemon;
  /** The daemon's. */
  let own = -999;
  /** Without CAP_SYS_RESOURCE no process gets below 0, where all of them began. */
  let canLower = true;
  before(async () => {
    daemon = await Daemon.start({ images: [await busybox()] });
    await protect().catch(async (thrown: unknown) => {
      if (!String(thrown).includes("EACCES")) throw thrown;
      process.stdout.write("      this root can't lower scores: those below 0 are not looked at\n");
      [own, canLower] = [7, false];
      await protect();
    });
  });
  after(async () => {
    await (daemon as Daemon | undefined)?.removePods();
    await (daemon as Daemon | undefined)?.remove();
  });

  /** As the unit has it (OOMScoreAdjust): what its children would inherit. */
  async function protect(): Promise<void> {
    await writeFile(`/proc/${String(daemon.pid)}/oom_score_adj`, `${String(own)}\n`);
  }

  const podOf = async (group: string): Promise<Pod> =>
    await runPod(daemon, { linux: { cgroupParent: `${daemon.cgroupParent}${group}` } });

  /** Of VMM and file server, whichever there are; one figure when they agree. */
  async function scoresOf(pod: Pod): Promise<number[]> {
    const scores = new Set<number>();
    for (const { pid } of await boxProcesses(daemon.scope)) {
      const command = await readFile(`/proc/${String(pid)}/cmdline`, "utf8").catch(() => "");
      const groups = await readFile(`/proc/${String(pid)}/cgroup`, "utf8").catch(() => "");
      if (!command.includes(pod.id.slice(0, 24)) && !groups.includes(pod.id)) continue;
      scores.add(Number(await readFile(`/proc/${String(pid)}/oom_score_adj`, "utf8")));
    }
    return [...scores];
  }

  async function eventuallyHas(pod: Pod, score: number): Promise<void> {
    await eventually(`the Box is at ${String(score)}`, 10_000, async () => {
      const now = await scoresOf(pod);
      if (now.length === 1 && now[0] === score) return true;
      throw new Error(`it is at ${now.join(", ")}`);
    });
  }

  it("are those of a pod's class from the first moment on, never the daemon's own", async () => {
    for (const [group, score] of [
      ["/kubepods/podg", -997],
      ["/kubepods/besteffort/podb", 1000],
      ["/kubepods/burstable/podu", 999],
      ["", 0],
    ] as const) {
      const pod = await podOf(group);
      // Of no class, a Box goes before a daemon that has a score itself, as in a sidecar.
      const wanted = (score < 0 && !canLower) || (group === "" && own > 0) ? own : score;
      expect(await scoresOf(pod), `of ${group}/`).to.deep.equal([wanted]);
      await removePod(daemon, pod);
    }
  });

  it("follow what a burstable pod's containers ask for together, as they come, change and go, and after a restart", async () => {
    const pod = await podOf("/kubepods/burstable/podu");
    const first = await startContainer(daemon, pod, scored(900));
    expect(await scoresOf(pod)).to.deep.equal([900]);
    const second = await createContainer(daemon, pod, scored(950));
    expect(await scoresOf(pod)).to.deep.equal([850]);
    await daemon.cri.call(runtime.updateContainerResources, { containerId: second, linux: resources(700) });
    expect(await scoresOf(pod)).to.deep.equal([600]);

    const processes = await boxProcesses(daemon.scope);
    await daemon.stop("SIGKILL");
    for (const { pid } of processes) await writeFile(`/proc/${String(pid)}/oom_score_adj`, "990");
    await daemon.launch();
    await protect();
    await eventuallyHas(pod, 600);

    await removeContainer(daemon, second);
    expect(await scoresOf(pod)).to.deep.equal([900]);
    const short = await startContainer(daemon, pod, { command: ["true"], ...scored(800) });
    await exited(daemon, short);
    await eventuallyHas(pod, 900);
    await removeContainer(daemon, first);
    expect(await scoresOf(pod)).to.deep.equal([999]);
    await removePod(daemon, pod);
  });
});
