import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { newContainerId } from "../../../../src/base/ids.js";
import { createLogger } from "../../../../src/base/log.js";
import { Mirrors } from "../../../../src/runtime/volumes/mirrors.js";
import { volumeAt } from "../../../../src/vmm/share/layout.js";
import type { Box, SharedPath } from "../../../../src/vmm/box.js";
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
