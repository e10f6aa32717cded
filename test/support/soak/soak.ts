/** Random lives of pods on one daemon that is killed and made to fail again and again, and what must hold at the end. */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { ContainerState } from "../../../src/gen/runtime/v1/api.js";
import { podRecords } from "../../../src/runtime/pod/pod-record.js";
import { readRecords } from "../../../src/store/records.js";
import { runtime } from "../cri-client.js";
import { Daemon } from "../daemon.js";
import { FaultDirectory } from "../faults/fault-directory.js";
import { busybox, busyboxSource } from "../images.js";
import { expectSameMachine, openDescriptors, residentKib } from "../machine.js";
import { NodeNetwork } from "../node-network.js";
import { containerStatus, logLines, type Pod } from "../pods.js";
import { pushImage, startRegistry } from "../registry.js";
import { Undo } from "../undo.js";
import { slowness } from "../wait.js";
import { Dice } from "./dice.js";
import { gatesOf, type Gate, type Sample } from "./gates.js";
import { Insist, messageOf } from "./insist.js";
import { Life } from "./life.js";
import { livesOf, type LifeKind } from "./lives.js";

export interface SoakOptions {
  readonly minutes: number;
  /** Pods at a time, besides the one that lives through it all. */
  readonly workers: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

export interface SoakReport {
  readonly gates: readonly Gate[];
  /** The whole of it, for people. */
  readonly text: string;
}

/** The daemon is left alone for the last part of the time: its memory can be judged then. */
const calmShare = 0.35;
const sampleMs = 1_000;
/** From one trouble to the next. */
const troubleMs = { least: 8_000, most: 25_000 };
/** A daemon has to come up in between, also where all is slow, and a pod: else none ever would on a machine with other work. */
const troublePace = Math.min(slowness, 3);
const podLimitMs = 120_000;
const counting = ["sh", "-c", "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.2; done"];
/** Steps that come when they come, or that a pod's life does not survive by itself when they fail. */
const leftAlone = /list sessions|recover|read output|watch/;

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const undo = new Undo();
  try {
    const faults = await FaultDirectory.make();
    undo.add(() => faults[Symbol.asyncDispose]());
    const node = await network();
    undo.add(() => node.remove());
    const registry = await startRegistry();
    undo.add(() => registry.stop());
    const { reference } = await pushImage(
      registry.host,
      "soak",
      "1",
      await busyboxSource({ Labels: { soak: "an image of its own" } }),
    );
    const daemon = await Daemon.start({
      images: [await busybox()],
      config: `${node.daemonConfig}[image]\nplain_http = ["${registry.host}"]\n`,
      environment: { A3S_FAULTS: faults.path },
      nodeNetns: node.netns,
    });
    undo.add(() => daemon.remove());
    return await new Soak(options, daemon, faults, livesOf(reference), node).run();
  } finally {
    await undo.run();
  }
}

/** In this process's own namespace, where the registry is too. */
async function network(): Promise<NodeNetwork> {
  const node = await NodeNetwork.here();
  const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipam: node.ipam("10.96.8.0/24") };
  await node.configure([bridge]);
  return node;
}

/**
 * Proportional memory of a process less what is both written and executed: the code that an emulator translates grows
 * to its own limit, and says nothing.
 */
async function keptKib(pid: number): Promise<number> {
  let kept = 0;
  let counts = true;
  for (const line of (await readFile(`/proc/${pid}/smaps`, "utf8")).split("\n")) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ (....)/.exec(line);
    if (mapping !== null) counts = !/^.wx/.test(mapping[1] ?? "");
    else if (counts) kept += Number(/^Pss: +(\d+) kB/.exec(line)?.[1] ?? "0");
  }
  return kept;
}

class Soak {
  readonly #options: SoakOptions;
  readonly #daemon: Daemon;
  readonly #faults: FaultDirectory;
  readonly #kinds: ReadonlyMap<string, LifeKind>;
  readonly #node: NodeNetwork;
  readonly #insist = new Insist();
  readonly #dice: Dice;
  readonly #samples: Sample[] = [];
  readonly #failures: string[] = [];
  readonly #lived = new Map<string, number>();
  readonly #troubles = new Map<string, number>();
  readonly #startMs = performance.now();
  #places: readonly string[] = [];
  #over = false;

  constructor(
    options: SoakOptions,
    daemon: Daemon,
    faults: FaultDirectory,
    kinds: ReadonlyMap<string, LifeKind>,
    node: NodeNetwork,
  ) {
    this.#options = options;
    this.#daemon = daemon;
    this.#faults = faults;
    this.#kinds = kinds;
    this.#node = node;
    this.#dice = new Dice(options.seed);
  }

  async run(): Promise<SoakReport> {
    const { minutes, workers, seed, say } = this.#options;
    const daemon = this.#daemon;
    const atStart = await daemon.machine();
    await this.#live(new Dice(seed)); // whatever is made once and for all is made now
    this.#places = (await this.#faults.passed()).filter((place) => !leftAlone.test(place));
    const descriptorsAtStart = (await openDescriptors(daemon.pid)).length;
    const life = new Life(daemon, this.#dice, this.#insist);
    const witness = await life.runPod();
    const container = await life.startContainer(witness, { command: counting });
    const startedAt = (await life.status(container)).startedAt;

    const endMs = this.#now() + minutes * 60_000;
    const calmFromMs = endMs - minutes * 60_000 * calmShare;
    const lives = Array.from({ length: workers }, (_, index) => this.#work(new Dice(seed + index + 1), endMs));
    const sampling = this.#sample(await this.#processesOf(witness));
    const supervising = this.#supervise();
    await this.#trouble(calmFromMs);
    await Promise.all(lives);
    this.#over = true;
    await Promise.all([sampling, supervising]);

    await this.#check("the witness", () => this.#expectWhole(container, startedAt));
    await life.removePod(witness);
    await daemon.removePods(); // what a life that failed has left
    const leftovers = await this.#leftovers(atStart);
    const descriptorsAtEnd = (await openDescriptors(daemon.pid)).length;
    const gates = gatesOf({
      samples: this.#samples,
      calmFromMs,
      lives: [...this.#lived.values()].reduce((sum, count) => sum + count, 0),
      failures: this.#failures,
      leftovers: [...leftovers, ...(await this.#orphans())],
      descriptorsAtStart,
      descriptorsAtEnd,
    });
    const text = this.#text(gates, leftovers);
    say(text);
    return { gates, text };
  }

  async #work(dice: Dice, endMs: number): Promise<void> {
    while (this.#now() < endMs) await this.#live(dice);
  }

  async #live(dice: Dice): Promise<void> {
    const [name, kind] = dice.pick([...this.#kinds]);
    await this.#check(name, () => kind(new Life(this.#daemon, dice, this.#insist)));
    this.#lived.set(name, (this.#lived.get(name) ?? 0) + 1);
  }

  async #check(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      this.#fail(name, thrown);
    }
  }

  #fail(name: string, thrown: unknown): void {
    const line = `${(this.#now() / 1000).toFixed(0)} s: ${name}: ${messageOf(thrown)}`;
    this.#failures.push(line);
    this.#options.say(line);
  }

  /** Kills, restarts and faults, until the calm. */
  async #trouble(calmFromMs: number): Promise<void> {
    for (;;) {
      const pods = this.#insist.pods;
      await delay(troublePace * this.#dice.between(troubleMs.least, troubleMs.most));
      await this.#podSince(pods);
      if (this.#now() > calmFromMs) break;
      const kind = this.#dice.pick(["kill", "kill", "restart", "fail", "fail", "die"] as const);
      this.#troubles.set(kind, (this.#troubles.get(kind) ?? 0) + 1);
      if (kind === "kill" || kind === "restart") this.#end(kind === "kill" ? "SIGKILL" : "SIGTERM");
      else await this.#faults.arm({ kind, place: this.#dice.pick(this.#placesFor(kind)) });
    }
    await this.#faults.disarm();
  }

  async #podSince(pods: number): Promise<void> {
    const endMs = this.#now() + podLimitMs;
    while (this.#insist.pods === pods && this.#now() < endMs) await delay(sampleMs);
  }

  /** A step that has ended can't fail any more. */
  #placesFor(kind: "fail" | "die"): string[] {
    return this.#places.filter((place) => kind === "die" || place.startsWith("begin "));
  }

  #end(signal: NodeJS.Signals): void {
    if (this.#daemon.alive) process.kill(this.#daemon.pid, signal);
  }

  /** What systemd does: a daemon that has ended is started again. */
  async #supervise(): Promise<void> {
    let failedStarts = 0;
    while (!this.#over) {
      await delay(100);
      if (this.#daemon.alive) continue;
      await this.#daemon.stop();
      try {
        await this.#daemon.launch();
        failedStarts = 0;
      } catch (thrown) {
        // The next trouble may have met it while it starts; two in a row are none of ours.
        failedStarts++;
        if (failedStarts > 1) this.#fail("the daemon's next start", thrown);
      }
    }
  }

  async #sample(witness: readonly number[]): Promise<void> {
    while (!this.#over) {
      const sample = await this.#measure(witness).catch(() => undefined); // between two daemons
      if (sample !== undefined) this.#samples.push(sample);
      await delay(sampleMs);
    }
  }

  async #measure(witness: readonly number[]): Promise<Sample> {
    const daemonKib = await residentKib(this.#daemon.pid);
    let witnessKib = 0;
    for (const process of witness) witnessKib += await keptKib(process);
    return { atMs: this.#now(), daemonKib, witnessKib };
  }

  async #processesOf({ id }: Pod): Promise<number[]> {
    const { records } = await readRecords(this.#daemon.root, podRecords);
    return records.find((record) => record.id === id)?.box?.processes.map(({ pid }) => pid) ?? [];
  }

  async #expectWhole(container: string, startedAt: bigint): Promise<void> {
    const now = await containerStatus(this.#daemon, container);
    expect(now.state).to.equal(ContainerState.CONTAINER_RUNNING);
    expect(now.startedAt).to.equal(startedAt);
    await this.#daemon.cri.call(runtime.stopContainer, { containerId: container, timeout: 0n });
    const texts = (await logLines(now.logPath)).map(({ text }) => text);
    expect(texts.length).to.be.greaterThan(60);
    expect(texts).to.deep.equal(texts.map((_, number) => `line ${number}`));
  }

  async #leftovers(atStart: Awaited<ReturnType<Daemon["machine"]>>): Promise<string[]> {
    const found: string[] = [];
    await expectSameMachine(this.#daemon.scope, atStart, 30_000).catch((thrown: unknown) => {
      found.push(...messageOf(thrown).split("\n").slice(1));
    });
    const reserved = await this.#node.reserved();
    found.push(...reserved.map((address) => `address left behind: ${address}`));
    return found;
  }

  /** Without a daemon nothing is under way, and everything has to be on record. */
  async #orphans(): Promise<string[]> {
    await this.#daemon.stop();
    const { stdout } = await this.#daemon.command("check", "--running", "--json");
    return (JSON.parse(stdout) as unknown[]).map((orphan) => `check --running: ${JSON.stringify(orphan)}`);
  }

  #now(): number {
    return performance.now() - this.#startMs;
  }

  #text(gates: readonly Gate[], leftovers: readonly string[]): string {
    const { minutes, workers, seed } = this.#options;
    const { calls, brokenByFault, brokenByRestart } = this.#insist;
    const counts = (of: ReadonlyMap<string, number>): string =>
      [...of].map(([name, count]) => `${name} ${count}`).join(", ");
    return [
      `soak of ${minutes} minutes, ${workers} pods at a time and one throughout, seed ${seed}`,
      `lives: ${counts(this.#lived)}`,
      `troubles: ${counts(this.#troubles)}; of ${calls} calls ${brokenByRestart} tries were broken off by restarts, ${brokenByFault} by faults`,
      ...gates.map(({ name, passed, detail }) => `${passed ? "ok " : "NOT"} ${name}: ${detail}`),
      ...this.#failures.map((line) => `    ${line}`),
      ...leftovers.map((line) => `    ${line}`),
    ].join("\n");
  }
}
