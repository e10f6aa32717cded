import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { boxId, newBoxId, type BoxId } from "../../../../src/base/ids.js";
import { createLogger } from "../../../../src/base/log.js";
import type { Native } from "../../../../src/native/addon.js";
import type { BoxExit, BoxHandle, BoxSpec } from "../../../../src/vmm/box.js";
import { boxDirectoryOf, readBoxRecord, writeBoxRecord } from "../../../../src/vmm/box-directory.js";
import type { PoolClass, PoolWish } from "../../../../src/vmm/pool/pool-class.js";
import { nothingRehearsed } from "../../../../src/vmm/pool/warm-up.js";
import { WarmPool, type BoxMaker } from "../../../../src/vmm/pool/warm-pool.js";
import type { RunningBox } from "../../../../src/vmm/running-box.js";
import { eventually } from "../../../support/wait.js";

const wanted: PoolClass = { driver: "qemu", vcpus: 1, memoryMib: 256, count: 1 };
const wish: PoolWish = {
  ...{ driver: "qemu", vcpus: 1, memoryMib: 256, among: [wanted], tap: null, mapsOwners: false, takesLarger: false },
};
const done = (): Promise<void> => Promise.resolve();

/** A daemon on a state directory, whose Boxes are directories. */
class World {
  readonly state: string;
  readonly closing = new AbortController();
  readonly told: string[] = [];
  readonly made: BoxId[] = [];
  readonly discarded: BoxId[] = [];
  /** By a Box's id: it ends. */
  readonly ends = new Map<BoxId, (exit: BoxExit) => void>();
  bring: (spec: BoxSpec) => Promise<void> = done;
  discard: (id: BoxId) => Promise<void> = done;
  deleteSession: (id: BoxId) => Promise<void> = done;
  beforeNetns: () => Promise<void> = done;
  identity = "programs 1";
  readonly pool: WarmPool;

  constructor(state: string, classes: readonly PoolClass[] = [wanted], stepMs = 5_000) {
    this.state = state;
    this.pool = new WarmPool(
      {
        ...{
          native: this.#native(),
          log: createLogger("error", { write: () => undefined }),
          state,
          guestBase: state,
          cgroups: { manager: "cgroupfs", everywhere: false },
        },
        ...{ wanted: classes, tap: null, leastFreeMib: 0, limits: { stepMs, discardMs: 300 } },
        rehearsed: nothingRehearsed,
        observer: { hit: () => this.told.push("hit"), miss: (reason) => this.told.push(reason) },
      },
      this.#maker(),
    );
  }

  #native(): Native {
    const createNetns = async (path: string): Promise<void> => {
      await this.beforeNetns();
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, "");
    };
    const removeNetns = (path: string): Promise<void> => rm(path, { force: true });
    return { createNetns, removeNetns, removeTree: done } as unknown as Native;
  }

  #maker(): BoxMaker {
    return {
      isBusy: false,
      bring: async (spec) => {
        await this.bring(spec);
        const { path } = boxDirectoryOf(this.state, spec.id);
        await mkdir(path, { recursive: true });
        this.made.push(spec.id);
        const processes = [{ role: "vmm" as const, pid: 4711, startTime: 1n }];
        return this.#box(spec.id, { driver: "qemu", processes, directory: path, cgroups: [] });
      },
      adopt: (id, handle) => Promise.resolve(this.#box(id, handle)),
      discard: async (id) => {
        await this.discard(id);
        this.discarded.push(id);
        await rm(boxDirectoryOf(this.state, id).path, { recursive: true, force: true });
      },
      identity: () => Promise.resolve(this.identity),
    };
  }

  #box(id: BoxId, handle: BoxHandle): RunningBox {
    const exited = new Promise<BoxExit>((resolve) => this.ends.set(id, resolve));
    const none = async function* (): AsyncGenerator<never> {};
    const output = () => Object.assign(none(), { close: () => undefined });
    const calls = ["configureSandbox", "createSession", "startSession", "startExec", "forgetExec"];
    const more = ["wait", "stats", "hello"];
    const deleteSession = (): Promise<void> => this.deleteSession(id);
    const guest = () => Promise.resolve({ layeredRoots: false });
    const agent = {
      ...Object.fromEntries([...calls, ...more].map((name) => [name, done])),
      output,
      deleteSession,
      guest,
    };
    const shareOverlay = () => Promise.resolve({ guestPath: "/c/warm", hostPath: "/share/c/warm" });
    const facts = { id, handle, agent, exited, exit: undefined, shareOverlay, removeShared: done };
    return { ...facts, memoryUsage: () => Promise.resolve(1n) } as unknown as RunningBox;
  }

  async full(): Promise<BoxId> {
    await eventually("a ready Box", 10_000, () => (this.pool.facts.classes[0]?.ready === 1 ? true : undefined));
    return this.pool.ids()[0] ?? boxId("");
  }
}

describe("a pool of Boxes", () => {
  let state: string;
  const worlds: World[] = [];
  beforeEach(async () => {
    state = await mkdtemp(join(tmpdir(), "pool-"));
  });
  afterEach(async () => {
    for (const world of worlds.splice(0)) await end(world);
    await rm(state, { recursive: true });
  });

  async function end(world: World): Promise<void> {
    world.closing.abort();
    await world.pool.idle();
  }

  async function begin(identity = "programs 1", pods: readonly BoxId[] = []): Promise<World> {
    const world = new World(state);
    worlds.push(world);
    world.identity = identity;
    await world.pool.adopt((id) => pods.includes(id), world.closing.signal);
    return world;
  }

  it("gives each Box once, whoever asks at the same moment, and says why there is none", async () => {
    const world = await begin();
    const id = await world.full();
    expect([world.pool.take(wish), world.pool.take(wish)]).to.deep.equal([{ id, vcpus: 1, memoryMib: 256 }, undefined]);
    expect(world.pool.take({ ...wish, memoryMib: 512 })).to.equal(undefined);
    expect(world.pool.take({ ...wish, among: [] })).to.equal(undefined); // its handler wants none
    expect(world.told).to.deep.equal(["empty", "size"]);
    expect(world.pool.ids()).to.include(id);
  });

  it("has a Box marked as its own on the disk until it leaves, and then no more", async () => {
    const world = await begin();
    const id = await world.full();
    const directory = boxDirectoryOf(state, id);
    expect((await readBoxRecord(directory))?.pool?.key).to.match(/^[0-9a-f]{24}$/);
    world.pool.take(wish);
    await world.pool.leave(id, "/pods/one");
    const left = await readBoxRecord(directory);
    expect([left?.id, left?.pool]).to.deep.equal([id, undefined]);
  });

  it("discards one that was taken and is not wanted after all, with its namespace, and gives it to nobody", async () => {
    const world = await begin();
    const id = await world.full();
    world.pool.take(wish);
    await world.pool.discard(id, AbortSignal.timeout(1_000));
    expect(world.discarded).to.deep.equal([id]);
    expect(world.pool.ids()).to.not.include(id);
  });

  it("has another in the place of one that has ended", async () => {
    const world = await begin();
    const id = await world.full();
    world.ends.get(id)?.({ atNs: 1n, reason: "killed" });
    await eventually("another one", 5_000, () => {
      const { ready } = world.pool.facts.classes[0] ?? {};
      return ready === 1 && !world.pool.ids().includes(id) ? true : undefined;
    });
    expect(world.discarded).to.deep.equal([id]);
  });

  it("says why none could be made, takes back what there is of it, and tries again", async () => {
    const world = new World(state);
    worlds.push(world);
    const failed: BoxId[] = [];
    world.bring = ({ id }) => {
      if (failed.length > 0) return Promise.resolve();
      failed.push(id);
      return Promise.reject(new Error("no such luck"));
    };
    await world.pool.adopt(() => false, world.closing.signal);
    await eventually("a reason", 5_000, () => (world.pool.facts.failure === undefined ? undefined : true));
    expect(world.pool.facts.failure).to.contain("no such luck");
    await world.full();
    expect(world.discarded).to.deep.equal(failed);
    expect(world.pool.facts.failure).to.equal(undefined);
  });

  it("makes Boxes of one size while those of another can't be made, or taken away", async () => {
    const large: PoolClass = { ...wanted, memoryMib: 512 };
    const world = new World(state, [large, { ...wanted, count: 2 }]);
    worlds.push(world);
    world.bring = ({ memoryMib }) => (memoryMib === 512 ? Promise.reject(new Error("too large")) : Promise.resolve());
    world.discard = (id) => (world.made.includes(id) ? Promise.resolve() : Promise.reject(new Error("it stays")));
    await world.pool.adopt(() => false, world.closing.signal);
    await eventually("the others", 5_000, () => (world.pool.facts.classes[1]?.ready === 2 ? true : undefined));
    expect(world.pool.facts.classes[0]?.ready).to.equal(0);
    expect(world.pool.ids()).to.have.lengthOf(3); // the one that stays has its own place
    expect(world.pool.facts.failure).to.contain("too large");
  });

  it("makes Boxes of one size while the removal of one of another does not end", async () => {
    const large: PoolClass = { ...wanted, memoryMib: 512 };
    const world = new World(state, [large, { ...wanted, count: 2 }]);
    worlds.push(world);
    world.bring = ({ memoryMib }) => (memoryMib === 512 ? Promise.reject(new Error("too large")) : Promise.resolve());
    let letGo = (): void => undefined;
    const stuck = new Promise<void>((resolve) => (letGo = resolve));
    world.discard = (id) => (world.made.includes(id) ? Promise.resolve() : stuck);
    await world.pool.adopt(() => false, world.closing.signal);
    await eventually("the others", 10_000, () => (world.pool.facts.classes[1]?.ready === 2 ? true : undefined));
    expect(world.pool.facts.failure).to.contain("too large");
    letGo();
  });

  it("takes away what a step that had been given up has made after all", async () => {
    const world = new World(state, [wanted], 300);
    worlds.push(world);
    let letGo = (): void => undefined;
    const stuck = new Promise<void>((resolve) => (letGo = resolve));
    world.beforeNetns = () => {
      world.beforeNetns = done;
      return stuck;
    };
    await world.pool.adopt(() => false, world.closing.signal);
    const id = await world.full();
    letGo();
    await end(world);
    expect(await readdir(join(state, "netns"))).to.deep.equal([id.slice(0, 24)]);
  }).timeout(15_000);

  it("has none that something of its warm-up has stayed in", async () => {
    const world = new World(state);
    worlds.push(world);
    const stays = new Set<BoxId>();
    world.deleteSession = (id) => {
      if (stays.size > 0) return Promise.resolve();
      stays.add(id);
      return Promise.reject(new Error("the session stays"));
    };
    await world.pool.adopt(() => false, world.closing.signal);
    expect([...stays]).to.not.include(await world.full());
    expect(world.discarded).to.deep.equal([...stays]);
  });

  it("has what an earlier daemon had ready, but for what is a pod's; of other programs it has none", async () => {
    const first = await begin();
    const id = await first.full();
    await end(first);

    const next = await begin();
    expect(await next.full()).to.equal(id);
    expect([next.made, next.discarded]).to.deep.equal([[], []]);
    await end(next);

    const ofPod = await begin("programs 1", [id]);
    expect(await ofPod.full()).to.not.equal(id);
    expect(ofPod.discarded).to.deep.equal([]);
    await end(ofPod);

    const other = await begin("programs 2");
    const made = await other.full();
    expect(other.made).to.deep.equal([made]);
    expect(other.discarded).to.have.lengthOf(2).and.to.include(id);
  });

  it("has no more of them than it wants", async () => {
    const first = await begin();
    const id = await first.full();
    await end(first);
    const more = newBoxId();
    const record = await readBoxRecord(boxDirectoryOf(state, id));
    if (record === undefined) throw new Error("no record");
    await mkdir(boxDirectoryOf(state, more).path);
    await writeBoxRecord(boxDirectoryOf(state, more), { ...record, id: more });
    await writeFile(join(state, "netns", more.slice(0, 24)), "");
    const next = await begin();
    await next.full();
    expect(next.discarded).to.have.lengthOf(1);
    expect(next.pool.ids()).to.have.lengthOf(1);
  });
});
