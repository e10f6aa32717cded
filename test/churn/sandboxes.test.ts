/** `npm run test:sandboxes-churn`: an hour's churn in minutes. What the daemon holds at its end is what it held at the beginning. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { Churn, heldOfEach } from "../support/churn/churn.js";
import { type Figure, growthOf, probeEnvironment, type Sample, takeSample } from "../support/churn/samples.js";
import { Daemon } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { limit } from "../support/wait.js";

const sandboxCount = Number(process.env["A3S_CHURN_SANDBOXES"] ?? "50");
const minutes = Number(process.env["A3S_CHURN_MINUTES"] ?? "5");
const workers = 4;
/** What caches and kept programs take is taken by then. */
const warmUpMs = 60_000;
const sampleMs = 5_000;
const replaceMs = 15_000;

/** What may have been added in all that time, by the line through all samples: MiB, then counts. */
const most: Readonly<Record<Figure, number>> = {
  ...{ rss: 20, heap: 3, external: 3 },
  ...{ descriptors: 10, handles: 10, timers: 10 },
};

const figures: readonly Figure[] = ["rss", "heap", "external", "descriptors", "handles", "timers"];

describe("the churn of sandboxes", function () {
  this.timeout(limit((minutes + 25) * 60_000));

  it(`${minutes} minutes with ${sandboxCount} sandboxes and ${sandboxCount * heldOfEach} programs leave nothing`, async () => {
    const scratch = await mkdtemp(join(tmpdir(), "a3s-churn-"));
    const socket = join(scratch, "sandboxes.sock");
    const probe = join(scratch, "held");
    const config = [
      ...["[sandboxes]", `listen = ["unix://${socket}"]`, 'pull = "never"', "life_ms = 7200000", ""],
      ...["[templates.base]", `image = "${busyboxImage}"`, "vcpus = 1", "memory_mib = 256", ""],
    ];
    const environment = probeEnvironment(probe);
    const daemon = await Daemon.start({ images: [await busybox()], config: config.join("\n"), environment });
    let churn: Churn | undefined;
    try {
      churn = await Churn.connect(socket);
      const begunMs = performance.now();
      await churn.fill(sandboxCount);
      say(`${sandboxCount} sandboxes in ${seconds(performance.now() - begunMs)}`);
      expect(await churn.programs()).to.equal(sandboxCount * heldOfEach);
      const samples = await churned(churn, () => takeSample(daemon.pid, probe));
      expect(await churn.programs()).to.equal(sandboxCount * heldOfEach);
      const grown = figures.map((figure) => ({ figure, ...growthOf(samples, figure) }));
      for (const { figure, first, last, grown: by } of grown) {
        say(`${figure}: ${first.toFixed(1)}, then ${last.toFixed(1)}; by the line ${by.toFixed(1)}`);
      }
      say([...churn.done].map(([name, times]) => `${name} ${times}`).join(", "));
      for (const { figure, grown: by } of grown) {
        // A line through figures that swing says little: whether it is a leak is seen in all of them.
        const all = samples.map((sample) => sample[figure].toFixed(0)).join(" ");
        expect(by, `${figure}: ${all}`).to.be.below(most[figure]);
      }
    } finally {
      await churn?.end();
      await daemon.remove();
      await rm(scratch, { recursive: true });
    }
  });
});

/** Samples of the time after the warming up. */
async function churned(churn: Churn, sample: () => Promise<Sample>): Promise<Sample[]> {
  const over = new AbortController();
  const samples: Sample[] = [];
  const begunMs = performance.now();
  const pause = (ms: number): Promise<unknown> => delay(ms, undefined, { signal: over.signal }).catch(() => undefined);
  const observe = async (): Promise<void> => {
    for (;;) {
      await pause(sampleMs);
      const spentMs = performance.now() - begunMs;
      if (over.signal.aborted || spentMs > warmUpMs + minutes * 60_000) break;
      if (spentMs > warmUpMs) samples.push(await sample());
    }
    over.abort();
  };
  const replace = async (): Promise<void> => {
    for (;;) {
      await pause(replaceMs);
      if (over.signal.aborted) return;
      await churn.replace();
    }
  };
  const work = [observe(), replace(), ...Array.from({ length: workers }, () => churn.work(over.signal))];
  try {
    await Promise.all(work);
  } finally {
    over.abort();
    await Promise.allSettled(work);
  }
  return samples;
}

function say(text: string): void {
  process.stdout.write(`      ${text}\n`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(0)} s`;
}
