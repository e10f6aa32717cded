import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { newContainerId } from "../../../../src/base/ids.js";
import { createLogger } from "../../../../src/base/log.js";
import { Mirrors } from "../../../../src/runtime/volumes/mirrors.js";
import { volumeAt } from "../../../../src/vmm/share/layout.js";
import type { Box, SharedPath } from "../../../../src/vmm/box.js";
import { eventually } from "../../../support/wait.js";
import { makeWorld, type World } from "../container/fakes.js";

describe("Mirrors", () => {
  let world: World;
  let directory: string;
  let said: string[];
  let mirrors: Mirrors;
  let box: Box;
  const { signal } = new AbortController();
  beforeEach(async () => {
    world = await makeWorld();
    directory = await mkdtemp(join(tmpdir(), "mirrors-"));
    said = [];
    mirrors = new Mirrors(createLogger("info", { write: (line) => said.push(line) }), 1);
    box = await world.sandbox.liveBox(signal);
  });
  afterEach(async () => {
    mirrors.close();
    await world.remove();
    await rm(directory, { recursive: true });
  });

  const placed = async (name: string): Promise<SharedPath> => volumeAt(await mkdtemp(join(directory, name)));

  it("say which volume is one too many to be watched, and take those that are watched already", async () => {
    const [first, second] = [await placed("first-"), await placed("second-")];
    await mirrors.watch(box, newContainerId(), first, false);
    expect(await mirrors.canWatch(box, first, signal)).to.equal(true);
    expect(said).to.deep.equal([]);
    expect(await mirrors.canWatch(box, second, signal)).to.equal(false);
    expect(said).to.have.lengthOf(1);
    expect(said[0]).to.include(second.hostPath).and.include("too many volumes are watched");
  });

  it("have a copy brought up to date until it is, where the guest was too busy", async () => {
    const place = await placed("busy-");
    let asked = 0;
    world.box.agent.beforeSync = () => {
      asked += 1;
      return asked < 3 ? Promise.reject(new RuntimeError("deadlineExceeded", "no answer")) : Promise.resolve();
    };
    await mirrors.watch(box, newContainerId(), place, true);
    // the look at once, and the second one after it
    await eventually("up to date", 10_000, () => (asked >= 4 ? true : undefined));
    expect(said.filter((line) => line.includes("not up to date"))).to.have.lengthOf(1);
  });

  it("have a copy in a paused Box brought up to date when it goes on, without a word", async () => {
    const place = await placed("paused-");
    let goOn: () => void = () => undefined;
    world.box.agent.rest = new Promise((resolve) => (goOn = resolve));
    let asked = 0;
    world.box.agent.beforeSync = () => {
      asked += 1;
      return Promise.resolve();
    };
    await mirrors.watch(box, newContainerId(), place, true);
    await delay(200);
    expect(asked).to.equal(0);
    goOn();
    await eventually("up to date", 2000, () => (asked > 0 ? true : undefined));
    expect(said).to.deep.equal([]);
  });

  it("keep a volume for as long as one container has it, and no longer than its Box lives", async () => {
    const place = await placed("shared-");
    const [one, two] = [newContainerId(), newContainerId()];
    for (const owner of [one, two]) await mirrors.watch(box, owner, place, false);
    mirrors.forget(one);
    expect(mirrors.size).to.equal(1);
    world.box.die("killed");
    await box.exited;
    expect(mirrors.size).to.equal(0);
    await mirrors.watch(box, two, place, true);
    expect(mirrors.size).to.equal(0);
  });
});
