import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { ContainerState, PodSandboxState, type ContainerStatus } from "../../src/gen/runtime/v1/api.js";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { expectSameMachine } from "../support/machine.js";
import {
  containerStatus,
  exec,
  logLines,
  podStatus,
  removePod,
  runPod,
  saidSomething,
  startContainer,
  type Pod,
} from "../support/pods.js";
import { eventually, limit } from "../support/wait.js";

/** 100 and 20 by `A3S_SURVIVAL_PODS=100 A3S_SURVIVAL_KILLS=20`; as many as fit the time of every run by itself. */
const podCount = Number(process.env["A3S_SURVIVAL_PODS"] ?? "4");
const kills = Number(process.env["A3S_SURVIVAL_KILLS"] ?? "4");
const atOnce = 4;
/** Numbered lines, some forty each second of all pods together: each costs an emulated guest two processes. */
const pauseSeconds = Math.max(0.1, podCount / 40).toFixed(1);
const counting = ["sh", "-c", `i=0; while :; do echo line $i; i=$((i+1)); sleep ${pauseSeconds}; done`];

interface Witness {
  readonly pod: Pod;
  readonly container: string;
  readonly before: ContainerStatus;
}

describe("kill -9 of the daemon, again and again", function () {
  this.timeout(limit(600_000 + podCount * 60_000 + kills * 60_000));
  let daemon: Daemon;
  before(async () => {
    daemon = await Daemon.start({ images: [await busybox()] });
  });
  after(async () => {
    await daemon.remove();
  });

  it(`costs none of ${podCount} pods a restart or a byte of its log, ${kills} times amid other work`, async () => {
    const atRest = await daemon.machine();
    const witnesses = await startAll();
    const readyMs: number[] = [];
    const adoptedMs: number[] = [];
    for (let kill = 0; kill < kills; kill++) {
      const work = otherWork();
      await delay(Math.random() * limit(3_000));
      const killedMs = performance.now();
      await daemon.stop("SIGKILL");
      await work;
      await daemon.launch();
      readyMs.push(performance.now() - killedMs);
      await eventually("every pod is READY and answers", 120_000, allAnswer(witnesses));
      adoptedMs.push(performance.now() - killedMs);
    }
    await removeOthers(witnesses);
    for (const { container, before } of witnesses) await expectWholeLog(container, before);
    await Promise.all(witnesses.map(({ pod }) => removePod(daemon, pod)));
    await expectSameMachine(daemon.scope, atRest, 20_000);
    const worst = (values: readonly number[]): string => `${(Math.max(...values) / 1000).toFixed(1)} s`;
    process.stdout.write(`      served again within ${worst(readyMs)}, all taken up within ${worst(adoptedMs)}\n`);
  });

  async function startAll(): Promise<Witness[]> {
    const witnesses: Witness[] = [];
    while (witnesses.length < podCount) {
      const batch = Array.from({ length: Math.min(atOnce, podCount - witnesses.length) }, startOne);
      witnesses.push(...(await Promise.all(batch)));
    }
    return witnesses;
  }

  async function startOne(): Promise<Witness> {
    const pod = await runPod(daemon);
    const container = await startContainer(daemon, pod, { command: counting });
    await saidSomething(daemon, container);
    return { pod, container, before: await containerStatus(daemon, container) };
  }

  /** A pod's whole life, which the daemon's death breaks off anywhere. */
  async function otherWork(): Promise<void> {
    try {
      const pod = await runPod(daemon);
      const container = await startContainer(daemon, pod);
      await exec(daemon, container, ["true"]);
      await removePod(daemon, pod);
    } catch {
      // The daemon has died: what of it there is, the next one has.
    }
  }

  const allAnswer = (witnesses: readonly Witness[]) => async (): Promise<true | undefined> => {
    for (const { pod } of witnesses) {
      if ((await podStatus(daemon, pod.id)).state !== PodSandboxState.SANDBOX_READY) return undefined;
    }
    const [one] = witnesses;
    if (one === undefined) return undefined;
    return (await exec(daemon, one.container, ["true"])).exitCode === 0 ? true : undefined;
  };

  async function removeOthers(witnesses: readonly Witness[]): Promise<void> {
    const ours = new Set(witnesses.map(({ pod }) => pod.id));
    const { items } = await daemon.cri.call(runtime.listPodSandbox, {});
    for (const { id } of items) {
      if (ours.has(id)) continue;
      await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: id });
      await daemon.cri.call(runtime.removePodSandbox, { podSandboxId: id });
    }
  }

  /** Each number once and in order, up to the last that the stopped container wrote. */
  async function expectWholeLog(container: string, before: ContainerStatus): Promise<void> {
    const now = await containerStatus(daemon, container);
    expect(now.state).to.equal(ContainerState.CONTAINER_RUNNING);
    expect(now.startedAt).to.equal(before.startedAt);
    await daemon.cri.call(runtime.stopContainer, { containerId: container, timeout: 0n });
    const texts = (await logLines(now.logPath)).map(({ text }) => text);
    expect(texts.length).to.be.greaterThan(kills);
    expect(texts).to.deep.equal(texts.map((_, number) => `line ${number}`));
  }
});
