/** Pods with volumes that the daemon follows come and go, a few at a time: nothing that it had for one of them is left. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { loadNative, type Native } from "../../src/native/addon.js";
import { holdingsOf, leftSince, type Holdings } from "../support/churn/holdings.js";
import { probeEnvironment } from "../support/churn/samples.js";
import { isBox, volumePod } from "../support/churn/volume-pods.js";
import { Daemon, nativeHandler } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import { projectDirectory } from "../support/project.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

const pods = Number(process.env["A3S_CHURN_PODS"] ?? "20");
const atATime = 4;
/** Of every kind some, so that what is made once is there: caches, modules, threads. */
const warmUp = 20;
/** Between two looks. */
const round = 100;
const mostRssMib = 25;

describe("The churn of pods with volumes", function () {
  this.timeout(limit(240_000 + (pods + warmUp) * 6_000));
  let daemon: Daemon;
  let native: Native;
  let atRest: MachineState;
  let directory: string;
  let probe: string;
  const undo = new Undo();
  before(async () => {
    ({ native } = loadNative(process.env["A3S_TEST_ASSETS"] ?? join(projectDirectory, "build/assets")));
    const config = process.env["A3S_TEST_HANDLER"] === "native" ? "" : nativeHandler;
    const scratch = await mkdtemp(join(tmpdir(), "a3s-held-"));
    undo.add(() => rm(scratch, { recursive: true }));
    probe = join(scratch, "held");
    daemon = await Daemon.start({ images: [await busybox()], config, environment: probeEnvironment(probe, true) });
    undo.add(() => daemon.remove());
    directory = join(daemon.base, "volumes");
    await mkdir(directory);
    await native.mountTmpfs(directory, 64 << 20, 0o755);
    undo.add(() => native.unmount(directory, true));
    await native.setPropagation(directory, "shared", false);
    atRest = await daemon.machine();
  });
  after(async () => {
    await undo.run();
  });

  const live = async (from: number, count: number): Promise<void> => {
    let next = from;
    const worker = async (): Promise<void> => {
      while (next < from + count) await volumePod({ daemon, native, directory }, next++);
    };
    const all = await Promise.allSettled(Array.from({ length: atATime }, worker));
    for (const one of all) if (one.status === "rejected") throw one.reason;
  };
  const look = (): Promise<Holdings> => holdingsOf(daemon.pid, probe);

  it(`${String(pods)} made and removed leave no watch, timer, entry of a map, descriptor, thread or mount`, async () => {
    await live(0, warmUp);
    await expectSameMachine(daemon.scope, atRest, 10_000);
    await look(); // the first makes what a look takes
    const before = await look();
    say("at first", before);
    const least = Math.max(8, Math.floor(pods / 10));
    for (let done = 0; done < pods; done += round) {
      const count = Math.min(round, pods - done);
      const begunMs = performance.now();
      await live(warmUp + done, count);
      const seconds = ((performance.now() - begunMs) / 1000).toFixed(0);
      await expectSameMachine(daemon.scope, atRest, 10_000);
      const held = await eventually("all is let go of", 20_000, async () => {
        const now = await look();
        const left = leftSince(before, now, least);
        if (left.length > 0) throw new Error(`\n  ${left.join("\n  ")}`);
        return now;
      });
      say(`${String(done + count)} pods, the last ${String(count)} in ${seconds} s`, held);
      expect(held.rssMib - before.rssMib, "MiB more").to.be.below(mostRssMib);
    }
    const boxes = Array.from({ length: pods }, (_, at) => at + warmUp).filter(isBox).length;
    process.stdout.write(`      ${String(boxes)} of them were Boxes\n`);
  });
});

function say(when: string, { kept, objects, rssMib, heapMib }: Holdings): void {
  const sum = (counts: Iterable<number>): number => [...counts].reduce((all, count) => all + count, 0);
  const descriptors = sum([...kept].flatMap(([name, count]) => (name.startsWith("descriptor ") ? count : [])));
  const others = [...kept].flatMap(([name, count]) =>
    name.startsWith("descriptor ") ? [] : `${name} ${String(count)}`,
  );
  const memory = `rss ${rssMib.toFixed(1)} MiB, heap ${heapMib.toFixed(1)} MiB`;
  const counts = [`descriptors ${String(descriptors)}`, ...others.sort(), `objects ${String(sum(objects.values()))}`];
  process.stdout.write(`      ${when}: ${memory}, ${counts.join(", ")}\n`);
}
