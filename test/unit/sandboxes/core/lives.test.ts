import { expect } from "chai";
import { Limiter } from "../../../../src/base/limiter.js";
import { createLogger } from "../../../../src/base/log.js";
import { neverAborted } from "../../../../src/base/signals.js";
import type { Core } from "../../../../src/sandboxes/core/core.js";
import { Lives } from "../../../../src/sandboxes/core/lives.js";
import { newSandboxName } from "../../../../src/sandboxes/core/names.js";
import type { AgentSandboxRecord } from "../../../../src/sandboxes/core/record.js";

const lifeMs = 600_000;

/** A sandbox whose pod has stood still for an hour, and had ten minutes left. Each write of a record lets others run. */
class World {
  readonly id = newSandboxName();
  readonly ended: string[] = [];
  readonly log: string[] = [];
  record: Partial<AgentSandboxRecord>;
  box: () => Promise<void> = () => Promise.resolve();
  readonly lives: Lives;
  #pausedAtNs: bigint | undefined;

  constructor() {
    const pausedAtMs = Date.now() - 3_600_000;
    this.#pausedAtNs = BigInt(pausedAtMs) * 1_000_000n;
    const times = { endsAtMs: pausedAtMs + lifeMs, usedAtMs: pausedAtMs, idleMs: 60_000 };
    this.record = { id: this.id, tenant: "t", atEnd: "end", ...times };
    this.lives = new Lives(this.#core());
  }

  #core(): Core {
    const isPaused = (): boolean => this.#pausedAtNs !== undefined;
    const pausedAtNs = (): bigint | undefined => this.#pausedAtNs;
    const pod = {
      id: "pod",
      whenSettled: () => Promise.resolve(),
      runningBox: () => undefined,
      pausedBox: () => ({
        resume: async () => {
          await this.box();
          this.log.push("the Box goes on");
        },
      }),
      wake: () => undefined,
      get isPaused() {
        return isPaused();
      },
      get record() {
        return { pausedAtNs: pausedAtNs() };
      },
    };
    const sandboxes = {
      findByKey: () => pod,
      locks: new Limiter<string>({ perKey: 1 }),
      update: () => {
        this.#pausedAtNs = undefined;
        return Promise.resolve();
      },
    };
    const log = createLogger("error", { write: () => undefined });
    const records = {
      get: () => this.record,
      update: async (_id: string, change: Partial<AgentSandboxRecord>) => {
        if (change.end !== undefined) this.ended.push(change.end.reason);
        await new Promise((resolve) => setTimeout(resolve, 20)); // the disk
        if (change.endsAtMs !== undefined) this.log.push("its end is written");
        this.record = { ...this.record, ...change };
        return this.record;
      },
    };
    const engine = { sandboxes, log, closing: neverAborted };
    return { engine, records, log, config: { lifeMs, maxLifeMs: lifeMs } } as unknown as Core;
  }
}

describe("a sandbox that goes on", () => {
  it("has its new end before its Box runs, and does not end by the old one however it is used meanwhile", async () => {
    const world = new World();
    const used = setInterval(() => {
      world.lives.uses.touch(world.id);
    }, 1);
    await Promise.all([world.lives.resume(world.id, neverAborted), world.lives.resume(world.id, neverAborted)]);
    clearInterval(used);
    world.lives.close();
    expect(world.ended).to.deep.equal([]);
    expect(world.log).to.deep.equal(["its end is written", "the Box goes on"]);
    expect((world.record.endsAtMs ?? 0) - Date.now()).to.be.within(lifeMs - 10_000, lifeMs);
  });

  it("has no longer to live than any may, also where it was extended while it stood still", async () => {
    const world = new World();
    world.record = { ...world.record, endsAtMs: Date.now() + lifeMs };
    await world.lives.resume(world.id, neverAborted);
    world.lives.close();
    expect((world.record.endsAtMs ?? 0) - Date.now()).to.be.within(lifeMs - 10_000, lifeMs);
  });

  it("has the end that it had where it could not go on", async () => {
    const world = new World();
    const { endsAtMs } = world.record;
    world.box = () => Promise.reject(new Error("it stands still"));
    expect(await world.lives.resume(world.id, neverAborted).catch(String)).to.contain("it stands still");
    world.lives.close();
    expect(world.record.endsAtMs).to.equal(endsAtMs);
  });
});
