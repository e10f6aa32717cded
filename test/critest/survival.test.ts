import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
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
/** Numbered lines, some forty each second of all pods together. Waits without a process: that is dear when emulated. */
const pauseSeconds = Math.max(0.1, podCount / 40).toFixed(1);
const counting = [
  "sh",
  "-c",
  `mkfifo /never && exec 0<>/never; i=0; while :; do echo line $i; i=$((i+1)); read -r -t ${pauseSeconds} _; done`,
];
/** One processor, little memory. */
const small = { linux: { resources: { memoryLimitInBytes: 256n << 20n, cpuPeriod: 100_000n, cpuQuota: 100_000n } } };

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
      await daemon.stop("SIGKILL");
      await work;
      if (kill === 0) await makeOld(witnesses);
      const seen = (await daemonLog()).length;
      const launchedMs = performance.now();
      await daemon.launch();
      readyMs.push(performance.now() - launchedMs);
      await eventually("every pod is taken up", 120_000, allAdopted(witnesses, seen));
      adoptedMs.push(performance.now() - launchedMs);
      await eventually("every pod is READY and answers", 120_000, allAnswer(witnesses));
    }
    process.stdout.write(`      served after ${spread(readyMs)}, all taken up after ${spread(adoptedMs)}\n`);
    await removeOthers(witnesses);
    for (const { container, before } of witnesses) await expectWholeLog(container, before);
    await Promise.all(witnesses.map(({ pod }) => removePod(daemon, pod)));
    await expectSameMachine(daemon.scope, atRest, 20_000);
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
    const pod = await runPod(daemon, small);
    const container = await startContainer(daemon, pod, { command: counting });
    await saidSomething(daemon, container);
    return { pod, container, before: await containerStatus(daemon, container) };
  }

  /** A pod's whole life, which the daemon's death breaks off anywhere. */
  async function otherWork(): Promise<void> {
    try {
      const pod = await runPod(daemon, small);
      const container = await startContainer(daemon, pod);
      await exec(daemon, container, ["true"]);
      await removePod(daemon, pod);
    } catch {
      // The daemon has died: what of it there is, the next one has.
    }
  }

  /** One witness gets its records back as the first version of the daemon wrote them. */
  async function makeOld([witness]: readonly Witness[]): Promise<void> {
    if (witness === undefined) return;
    for (const file of [`containers/${witness.container}.json`, `sandboxes/${witness.pod.id}.json`]) {
      const path = join(daemon.root, "records", file);
      const record = Object.entries(JSON.parse(await readFile(path, "utf8")) as object);
      const old = record.filter(([member]) => !["mirroredPaths", "upper", "network"].includes(member));
      await writeFile(path, JSON.stringify(Object.fromEntries(old)));
    }
  }

  async function daemonLog(): Promise<string> {
    return await daemon.logTail(1 << 26);
  }

  /** By what the daemon that was started last says of each. */
  const allAdopted = (witnesses: readonly Witness[], seen: number) => async (): Promise<true | undefined> => {
    const lines = (await daemonLog()).slice(seen).split("\n");
    const adopted = new Set(lines.filter((line) => line.includes('"outcome":"adopted"')).map(sandboxOf));
    return witnesses.every(({ pod }) => adopted.has(pod.id)) ? true : undefined;
  };

  const allAnswer = (witnesses: readonly Witness[]) => async (): Promise<true | undefined> => {
    for (const { pod } of witnesses) {
      if ((await podStatus(daemon, pod.id)).state !== PodSandboxState.SANDBOX_READY) return undefined;
    }
    const one = witnesses[Math.floor(Math.random() * witnesses.length)];
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

function sandboxOf(line: string): string {
  return /"sandboxId":"([0-9a-f]{64})"/.exec(line)?.[1] ?? "";
}

function spread(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const seconds = (ms = Number.NaN): string => (ms / 1000).toFixed(2);
  return `${seconds(sorted[Math.floor(sorted.length / 2)])} s (median; at most ${seconds(sorted.at(-1))})`;
}
