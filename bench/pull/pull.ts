/**
 * `bench pull`: two images of some 200 MiB from a registry on this machine, by this runtime and by containerd (both asked
 * over CRI by one client, as kubelet does) and by skopeo and umoci, in turn. And what a pull costs besides: memory, CPU,
 * and the time of an exec in a pod that runs meanwhile.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monotonicMs } from "../../src/base/clock.js";
import { containerdPrograms, containerdVersion } from "../../scripts/setup/assets/containerd.js";
import { interrupted } from "../../scripts/setup/interrupted.js";
import { setupContext } from "../../scripts/setup/set-up.js";
import { type CriClient, runtime } from "../../test/support/cri-client.js";
import { Containerd } from "../../test/support/containerd.js";
import { Daemon } from "../../test/support/daemon.js";
import { run } from "../../test/support/image-store.js";
import { busybox, type NamedImage } from "../../test/support/images.js";
import { removePod, runPod, startContainer } from "../../test/support/pods.js";
import { projectDirectory } from "../../test/support/project.js";
import { pushImage, startRegistry, type ImageSource, type TestRegistry } from "../../test/support/registry.js";
import { Figures } from "../figures.js";
import { machineFacts, round, type Ratio, type Report } from "../report.js";
import { largeFiles, smallFiles } from "./images.js";
import { costOf, peakMib } from "./processes.js";
import { pullMs } from "./timed.js";

/** Issue: "Cold pull at least 1.5 times as fast as containerd 2.4 on the same machine in the same run on both images". */
const coldGoal = 1.5;
/** Issue: "daemon memory during a pull under 200 MiB, whatever the image's size". */
const memoryGoalMib = 200;
/** Issue: "exec latency in a running pod not worse than doubled while a pull runs". */
const execGoal = 2;
/** A pull takes seconds: fewer turns than other benches have. */
const mostRuns = 5;
const execsAlone = 20;
const turnsWithExecs = 2;

const kinds = [
  { name: "small files", build: smallFiles },
  { name: "large files", build: largeFiles },
] as const;

interface Bed {
  readonly registry: TestRegistry;
  /** Where containerd's programs are. */
  readonly programs: string;
  readonly directory: string;
  readonly figures: Figures;
  /** What goes at the end, see `benchPull`. */
  readonly leftDaemons: Daemon[];
}

/**
 * Each pull has a fresh directory, and all of them go at the end: ext4 passes over inodes that were freed in the last
 * minutes, one by one (`recently_deleted` in its inode allocator), so that a pull after a removal of as many files
 * takes several times as long, whoever pulls.
 */
export async function benchPull({ runs }: { readonly runs: number }): Promise<Report> {
  const programs = await containerdPrograms(setupContext(projectDirectory, interrupted(), console.error));
  if (programs === undefined) throw new Error("the bench builds containerd: install Go");
  const registry = await startRegistry();
  const directory = await mkdtemp(join(tmpdir(), "a3s-bench-pull-"));
  const figures = new Figures();
  const bed: Bed = { registry, programs, directory, figures, leftDaemons: [] };
  try {
    say("making the images");
    for (const { name, build } of kinds) await measureImage(bed, name, await build(), Math.min(runs, mostRuns));
    say("exec during pulls");
    const references = kinds.map(({ name }) => `${registry.host}/${nameInRegistry(name)}:1`);
    for (let turn = 0; turn < turnsWithExecs; turn += 1) await measureExec(bed, references);
    return report(figures);
  } finally {
    for (const daemon of bed.leftDaemons) await daemon.remove();
    await registry.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

function nameInRegistry(name: string): string {
  return name.replace(" ", "-");
}

/** For the person who waits: some minutes. */
function say(line: string): void {
  console.error(`bench pull: ${line}`);
}

function report(figures: Figures): Report {
  const cold = kinds.map(({ name }): Ratio => {
    const value = figures.p50(`${name}: cold, containerd`) / figures.p50(`${name}: cold, ours`);
    return { name: `cold pull of ${name}, containerd / ours`, value: round(value), goal: coldGoal, atLeast: true };
  });
  const memory = Math.max(...kinds.map(({ name }) => figures.most(`${name}: daemon's peak memory`)));
  const exec = figures.p50("ExecSync during pulls") / figures.p50("ExecSync");
  return {
    bench: "pull",
    machine: { ...machineFacts("qemu"), containerd: containerdVersion },
    rows: figures.rows(),
    ratios: [
      ...cold,
      { name: `daemon's peak memory / ${memoryGoalMib} MiB`, value: round(memory / memoryGoalMib), goal: 1 },
      { name: "ExecSync during pulls / alone", value: round(exec), goal: execGoal },
    ],
  };
}

async function measureImage(bed: Bed, name: string, source: ImageSource, runs: number): Promise<void> {
  const { registry, figures } = bed;
  say(`${name}: ${runs} turns`);
  const { reference } = await pushImage(registry.host, nameInRegistry(name), "1", source);
  const packed = source.layers.reduce((sum, { bytes }) => sum + bytes.length, 0);
  figures.add(`${name}: packed size`, "MiB", packed / 2 ** 20);
  for (let turn = 0; turn < runs; turn += 1) {
    await withDaemon(bed, async (daemon) => {
      await onePull(daemon.cri, daemon.pid, reference, `${name}: cold, ours`, figures);
      figures.add(`${name}: warm, ours`, "ms", await pullMs(daemon.cri, reference));
    });
    const containerd = await Containerd.start(bed.programs, await freshDirectory(bed), registry.host);
    try {
      await onePull(containerd.cri, containerd.pid, reference, `${name}: cold, containerd`, figures);
      figures.add(`${name}: warm, containerd`, "ms", await pullMs(containerd.cri, reference));
    } finally {
      await containerd.stop();
    }
    figures.add(`${name}: cold, skopeo and umoci`, "ms", await skopeoMs(bed, reference));
  }
  await withDaemon(bed, async (daemon) => {
    const peak = await peakMib(daemon.pid, () => pullMs(daemon.cri, reference));
    figures.add(`${name}: daemon's peak memory`, "MiB", peak);
  });
  figures.add(`${name}: gunzip and tar of the same layers`, "ms", await plainMs(bed, source));
}

async function withDaemon(bed: Bed, work: (daemon: Daemon) => Promise<void>, images: NamedImage[] = []): Promise<void> {
  const config = `[image]\nplain_http = ["${bed.registry.host}"]\n`;
  const daemon = await Daemon.start(images.length === 0 ? { config } : { config, images });
  bed.leftDaemons.push(daemon);
  await work(daemon);
  await daemon.stop();
}

async function freshDirectory({ directory }: Bed): Promise<string> {
  return await mkdtemp(join(directory, "turn-"));
}

async function onePull(cri: CriClient, pid: number, reference: string, name: string, figures: Figures): Promise<void> {
  await run("sync", []);
  const before = await costOf(pid);
  figures.add(name, "ms", await pullMs(cri, reference));
  figures.add(`${name}, CPU time`, "ms", (await costOf(pid)).cpuMs - before.cpuMs);
}

async function skopeoMs(bed: Bed, reference: string): Promise<number> {
  const work = await freshDirectory(bed);
  await run("sync", []);
  const startedMs = monotonicMs();
  const copy = ["copy", "--quiet", "--src-tls-verify=false", `docker://${reference}`, `oci:${work}/layout:it`];
  await run("skopeo", copy);
  await run("umoci", ["unpack", "--image", `${work}/layout:it`, `${work}/bundle`]);
  return monotonicMs() - startedMs;
}

/** The least that unpacking costs by the distribution's programs: no digest, no registry, one layer after another. */
async function plainMs(bed: Bed, { layers }: ImageSource): Promise<number> {
  const work = await freshDirectory(bed);
  await run("sync", []);
  const startedMs = monotonicMs();
  for (const { digest } of layers) {
    const hex = digest.slice("sha256:".length);
    const blob = join(bed.registry.data, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
    await run("tar", ["-C", work, "-xzf", blob]);
  }
  return monotonicMs() - startedMs;
}

/** Alone and during pulls in turn; each pull is the first one of its image, and nothing is removed (see `benchPull`). */
async function measureExec(bed: Bed, references: readonly string[]): Promise<void> {
  const { figures } = bed;
  await withDaemon(
    bed,
    async (daemon) => {
      const pod = await runPod(daemon);
      const containerId = await startContainer(daemon, pod);
      const execMs = async (): Promise<number> => {
        const startedMs = monotonicMs();
        await daemon.cri.call(runtime.execSync, { containerId, cmd: ["true"], timeout: 60n });
        return monotonicMs() - startedMs;
      };
      await execMs(); // the first one pages the program in
      for (const reference of references) {
        await run("sync", []);
        for (let turn = 0; turn < execsAlone; turn += 1) figures.add("ExecSync", "ms", await execMs());
        let pulling = true;
        const pulled = pullMs(daemon.cri, reference).finally(() => {
          pulling = false;
        });
        pulled.catch(() => undefined); // thrown where it is waited for
        while (stillTrue(() => pulling)) figures.add("ExecSync during pulls", "ms", await execMs());
        figures.add("pulls with execs", "ms", await pulled);
      }
      await removePod(daemon, pod);
    },
    [await busybox()],
  );
}

/** The compiler doesn't see that others change it. */
function stillTrue(read: () => boolean): boolean {
  return read();
}
