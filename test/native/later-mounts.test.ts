import { mkdir, readlink } from "node:fs/promises";
import { expect } from "chai";
import { pino } from "pino";
import { newContainerId, newBoxId, type ContainerId } from "../../src/base/ids.js";
import { LaterMounts } from "../../src/runtime/volumes/later-mounts.js";
import type { Box, SharedPath } from "../../src/vmm/box.js";
import type { MountWatch } from "../../src/native/addon.js";
import { eventually, limit } from "../support/wait.js";
import { Scratch, native } from "./scratch.js";

describe("LaterMounts", () => {
  const place = { hostPath: "/share/v/rw-alone-1", guestPath: "/v/rw-alone-1" };
  let scratch: Scratch;
  let said: string[];
  let asked: string[][];
  let removed: string[];
  let answer: { inUse: string[]; failure: string };
  let refuses: number;
  let beforeRemoval: () => Promise<void>;
  let looks: number;
  let openWatches: number;
  let die: () => void;
  let follower: LaterMounts;
  let box: Box;

  beforeEach(async () => {
    scratch = await Scratch.make();
    for (const name of ["one", "two"]) {
      await mkdir(scratch.in(name));
      await native.mountTmpfs(scratch.in(name), 1 << 20, 0o755);
    }
    [said, asked, removed, refuses] = [[], [], [], 0];
    answer = { inUse: [], failure: "" };
    beforeRemoval = () => Promise.resolve();
    const log = pino({ level: "warn" }, { write: (line: string) => said.push(line) });
    [looks, openWatches] = [0, 0];
    const watchMounts = (): MountWatch => {
      const watch = native.watchMounts();
      openWatches++;
      const next = (): Promise<boolean> => {
        looks++;
        return watch.next();
      };
      const close = (): void => {
        openWatches--;
        watch.close();
      };
      return { next, close };
    };
    follower = new LaterMounts({ native: { ...native, watchMounts }, own: [], log });
    let count = 0;
    const exited = new Promise<void>((resolve) => {
      die = resolve;
    });
    box = {
      id: newBoxId(),
      exit: undefined,
      exited,
      listShared: () => Promise.resolve([]),
      shareMount: async (name: string, source: string): Promise<SharedPath> => {
        // side by side: which comes first is not known
        if ((await readlink(source)).endsWith("/one") && refuses-- > 0) throw new Error("stale");
        const entry = `${name}-${String(count++)}`;
        return { hostPath: `/share/v/${entry}`, guestPath: `/v/${entry}` };
      },
      removeShared: async (path: string) => {
        await beforeRemoval();
        removed.push(path);
      },
      agent: {
        syncSubmounts: (_path: string, submounts: readonly { at: string }[]) => {
          asked.push(submounts.map(({ at }) => at));
          return Promise.resolve(answer);
        },
      },
    } as unknown as Box;
  });
  afterEach(async () => {
    follower.close();
    await scratch[Symbol.asyncDispose]();
  });

  const follow = async (): Promise<ContainerId> => {
    const [owner, followed] = [newContainerId(), { place, source: scratch.path }];
    await follower.follow(box, owner, followed, AbortSignal.timeout(5_000));
    return owner;
  };

  it("does not keep a container, or other mounts, from one that can't be shared, and says so once", async () => {
    refuses = 1;
    await follow();
    expect(asked).to.deep.equal([["two"]]);
    expect(said.filter((line) => line.includes("stale"))).to.have.lengthOf(1);
    refuses = 1;
    await follow();
    expect(asked).to.have.lengthOf(1);
    expect(said).to.have.lengthOf(1);
    await follow();
    expect(asked).to.deep.equal([["two"], ["one", "two"]]);
  });

  it("nor from one that the agent can't mount, which it asks for again", async () => {
    answer = { inUse: [], failure: "no such device" };
    await follow();
    await follow();
    answer = { inUse: [], failure: "" };
    await follow();
    await follow();
    expect(asked).to.deep.equal([1, 2, 3].map(() => ["one", "two"]));
    expect(said.filter((line) => line.includes("no such device"))).to.have.lengthOf(1);
    expect(removed).to.deep.equal([]);
  });

  it("takes a place away when the host's mount has gone and the guest is done with it", async () => {
    await follow();
    await native.unmount(scratch.in("one"), false);
    answer = { inUse: ["/v/none"], failure: "" };
    await follow();
    expect(asked).to.deep.equal([["one", "two"], ["two"]]);
    expect(removed).to.have.lengthOf(1);
  });

  it("shows a volume anew to a container that comes while the last one that had it goes", async () => {
    const first = await follow();
    let next: Promise<ContainerId> | undefined;
    beforeRemoval = () => {
      next ??= follow();
      return Promise.resolve();
    };
    await follower.release(first);
    await next;
    expect(removed).to.have.lengthOf(2);
    expect(asked).to.deep.equal([1, 2].map(() => ["one", "two"]));
    expect(follower.size).to.equal(1);
  });

  it("takes out of the share at the second try what could not be taken out at the first", async () => {
    const owner = await follow();
    beforeRemoval = () => Promise.reject(new Error("busy"));
    const refused = await follower.release(owner).catch((thrown: unknown) => thrown);
    expect(refused).to.be.an.instanceOf(Error).with.property("message", "busy");
    beforeRemoval = () => Promise.resolve();
    await follower.release(owner);
    expect([removed.length, follower.size]).to.deep.equal([2, 0]);
  });

  /** What the agent was told last, within the time; a watch does not keep the process alive. */
  const becomes = async (names: readonly string[], limitMs: number): Promise<void> => {
    await eventually(`the agent is told of ${names.join(", ")}`, limitMs, () =>
      asked.at(-1)?.join() === names.join() ? true : undefined,
    );
  };

  it("sees what the host mounts and unmounts at once, and not at the next turn of a timer", async () => {
    await follow();
    await mkdir(scratch.in("three"));
    for (const change of [
      () => native.mountTmpfs(scratch.in("three"), 1 << 20, 0o755),
      () => native.unmount(scratch.in("three"), false),
    ]) {
      await new Promise((resolve) => setTimeout(resolve, 300)); // the pause after the last look is over
      const [names, startMs] = [
        asked.at(-1)?.length === 2 ? ["one", "three", "two"] : ["one", "two"],
        performance.now(),
      ];
      await change();
      await becomes(names, 5_000);
      expect(performance.now() - startMs).to.be.lessThan(limit(450));
    }
  });

  it("looks a few times a second through a storm of changes, and ends with what is there then", async function () {
    this.timeout(limit(20_000));
    await follow();
    await mkdir(scratch.in("three"));
    const [looksBefore, startMs] = [looks, performance.now()];
    for (let turn = 0; turn < 200; turn++) {
      await native.mountTmpfs(scratch.in("three"), 1 << 20, 0o755);
      if (turn < 199) await native.unmount(scratch.in("three"), true); // lazily: it may be looked at
    }
    await becomes(["one", "three", "two"], 5_000);
    const seconds = (performance.now() - startMs) / 1000;
    expect(looks - looksBefore).to.be.at.most(Math.ceil(seconds * 4) + 2);
  });

  it("watches nothing any more once nobody follows, be it that all have gone, or their Box", async () => {
    const owner = await follow();
    expect(openWatches).to.equal(1);
    await follower.release(owner);
    expect([openWatches, follower.size]).to.deep.equal([0, 0]);
    await follow();
    expect(openWatches).to.equal(1);
    die();
    await box.exited;
    expect([openWatches, follower.size]).to.deep.equal([0, 0]);
  });
});
