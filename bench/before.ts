/**
 * `bench before`: this build beside that of an earlier commit (`A3S_BENCH_BEFORE`, else the one before the engine had two
 * edges), asked over CRI in turn: pods in Boxes and on the host's kernel, processes, pulls, memory, and a daemon's restart.
 */
import { monotonicMs } from "../src/base/clock.js";
import { image, runtime } from "../test/support/cri-client.js";
import { Daemon, nativeHandler } from "../test/support/daemon.js";
import { commitNamed, earlierBuild } from "../test/support/earlier-build.js";
import { run } from "../test/support/image-store.js";
import { busybox } from "../test/support/images.js";
import { residentKib } from "../test/support/machine.js";
import { removePod, runPod, startContainer, type Pod } from "../test/support/pods.js";
import { projectDirectory } from "../test/support/project.js";
import { pushImage, startRegistry, type TestRegistry } from "../test/support/registry.js";
import { driverOf } from "../test/support/driver-of.js";
import { Figures } from "./figures.js";
import { largeFiles, smallFiles } from "./pull/images.js";
import { machineFacts, round, type Ratio, type Report } from "./report.js";

const earlierCommit = process.env["A3S_BENCH_BEFORE"] ?? "448f4be";
/** What a pod costs may be so much more than before; the rest moves more from run to run. */
const goalOfCalls = 1.03;
const goalOfOthers = 1.05;
const execsEach = 5;
const mostPulls = 3;
const podsForMemory = 20;
const restarts = 5;
const pullLimitMs = 600_000;
const images = ["small files", "large files"] as const;

interface Side {
  readonly name: "now" | "before";
  readonly build: string;
  readonly daemon: Daemon;
}

const handlers = [
  { handler: "", kind: "Box" },
  { handler: "native", kind: "native" },
] as const;
const calls = handlers.flatMap(({ kind }) =>
  ["RunPodSandbox", "create and start", "ExecSync of true", "stop and remove"].map((call) => `${kind}: ${call}`),
);
const memory = `daemon with ${podsForMemory} pods`;
const served = `start to served with ${podsForMemory} pods`;

export async function benchBefore({ runs }: { readonly runs: number }): Promise<Report> {
  const commit = await commitNamed(earlierCommit);
  if (commit === undefined) throw new Error(`git has no commit ${earlierCommit}, as in a shallow clone`);
  const earlier = await earlierBuild(commit);
  const registry = await startRegistry();
  const sides: Side[] = [];
  const figures = new Figures();
  try {
    const config = `[image]\nplain_http = ["${registry.host}"]\n${nativeHandler}`;
    for (const [name, build] of [
      ["before", earlier],
      ["now", projectDirectory],
    ] as const) {
      sides.push({ name, build, daemon: await Daemon.start({ images: [await busybox()], config, build }) });
    }
    for (const { daemon } of sides)
      for (const { handler } of handlers) await onePod(daemon, handler, () => "", new Figures());
    for (let turn = 0; turn < runs; turn += 1) {
      for (const { handler, kind } of handlers) {
        for (const { name, daemon } of inTurn(sides, turn)) {
          await onePod(daemon, handler, (call) => `${name}: ${kind}: ${call}`, figures);
        }
      }
    }
    for (const side of sides) await manyPods(side, figures);
    await pulls(sides, registry, Math.min(runs, mostPulls), figures);
    const [side] = sides;
    const driver = side === undefined ? "" : await driverOf(side.daemon);
    return report(driver, figures);
  } finally {
    for (const { daemon } of sides) await daemon.remove();
    await registry.stop();
  }
}

/** Who goes first has what the other left in the processor's caches: each does, every second time. */
function inTurn(sides: readonly Side[], turn: number): readonly Side[] {
  return turn % 2 === 0 ? sides : sides.toReversed();
}

async function onePod(
  daemon: Daemon,
  handler: string,
  named: (call: string) => string,
  figures: Figures,
): Promise<void> {
  const pod = await figures.time(named("RunPodSandbox"), () => runPod(daemon, {}, handler));
  const containerId = await figures.time(named("create and start"), () => startContainer(daemon, pod));
  for (let count = 0; count < execsEach; count += 1) {
    const request = { containerId, cmd: ["true"], timeout: 30n };
    await figures.time(named("ExecSync of true"), () => daemon.cri.call(runtime.execSync, request));
  }
  await figures.time(named("stop and remove"), () => removePod(daemon, pod));
}

/** Pods on the host's kernel: the daemon does the same for them, and twice as many Boxes would not fit everywhere. */
async function manyPods({ name, daemon }: Side, figures: Figures): Promise<void> {
  const pods: Pod[] = [];
  while (pods.length < podsForMemory) pods.push(await runPod(daemon, {}, "native"));
  figures.add(`${name}: ${memory}`, "MiB", (await residentKib(daemon.pid)) / 1024);
  for (let turn = 0; turn < restarts; turn += 1) {
    await daemon.stop("SIGKILL");
    const beganMs = monotonicMs();
    await daemon.launch();
    figures.add(`${name}: ${served}`, "ms", monotonicMs() - beganMs);
  }
  await Promise.all(pods.map((pod) => removePod(daemon, pod)));
}

/** Each of an image that the daemon has nothing of; nothing is removed meanwhile (see `benchPull`). */
async function pulls(sides: readonly Side[], registry: TestRegistry, turns: number, figures: Figures): Promise<void> {
  const sources = { "small files": await smallFiles(), "large files": await largeFiles() };
  for (const kind of images) {
    const { reference } = await pushImage(registry.host, kind.replace(" ", "-"), "1", sources[kind]);
    const left: Daemon[] = [];
    try {
      for (let turn = 0; turn < turns; turn += 1) {
        for (const { name, build } of inTurn(sides, turn)) {
          const daemon = await Daemon.start({ config: `[image]\nplain_http = ["${registry.host}"]\n`, build });
          left.push(daemon);
          await run("sync", []);
          const wanted = {
            image: reference,
            annotations: {},
            userSpecifiedImage: "",
            runtimeHandler: "",
            imageRef: "",
          };
          await figures.time(`${name}: pull of ${kind}`, () =>
            daemon.cri.call(image.pullImage, { image: wanted }, { limitMs: pullLimitMs }),
          );
          await daemon.stop();
        }
      }
    } finally {
      for (const daemon of left) await daemon.remove();
    }
  }
}

function report(driver: string, figures: Figures): Report {
  const ratio = (name: string, goal: number): Ratio => ({
    name: `${name}, now / before`,
    value: round(figures.p50(`now: ${name}`) / figures.p50(`before: ${name}`)),
    goal,
  });
  return {
    bench: "before",
    machine: { ...machineFacts(driver), before: earlierCommit },
    rows: figures.rows(),
    ratios: [
      ...calls.map((name) =>
        ratio(name, name.includes("stop") || name.includes("create") ? goalOfOthers : goalOfCalls),
      ),
      ...images.map((kind) => ratio(`pull of ${kind}`, goalOfCalls)),
      ratio(memory, 1),
      ratio(served, goalOfOthers),
    ],
  };
}
