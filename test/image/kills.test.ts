/**
 * A process that uses the store is killed at random moments, and the store is looked at each time as the next start
 * finds it. `npm run test:image-kills` does so 200 times; A3S_KILLS is the number.
 */
import { randomBytes } from "node:crypto";
import { expect } from "chai";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Acknowledged, expectWhole, knownImage, treeOf, type KnownImage } from "../support/image-kills/expected.js";
import { killAtRandom, startVictim } from "../support/image-kills/kill-one.js";
import { makeTestStore, run, type TestStore } from "../support/image-store.js";
import { pushImage, startRegistry, type TestRegistry } from "../support/registry.js";
import { buildLayer, type BuiltLayer } from "../support/tar-builder.js";

const kills = Number(process.env["A3S_KILLS"] ?? "6");
const longestLifeMs = 4000;
/** Each so many kills, all images are copied by skopeo, which checks every digest itself. */
const skopeoEach = 6;
const signal = new AbortController().signal;

/** Files enough that downloading and unpacking take a while each. */
function layer(number: number): BuiltLayer {
  const files = Array.from({ length: 120 }, (_, file) => ({
    name: `data/${number}/${file}`,
    content: randomBytes(file * 150),
    mode: file % 7 === 0 ? 0o4755 : 0o640,
    uid: file,
  }));
  return buildLayer([
    { name: `data/${number}/`, type: "directory" },
    ...files,
    { name: "data/shared", content: `of layer ${number}` },
    { name: `data/${number}/hard`, type: "hardlink", link: `data/${number}/1` },
    { name: `data/${number}/soft`, type: "symlink", link: "1" },
    { name: `data/.wh.${number - 1}` },
  ]);
}

describe("a store whose user is killed at any moment", () => {
  let registry: TestRegistry;
  let test: TestStore;
  const images: KnownImage[] = [];
  const trees = new Map<string, string>();

  before(async function () {
    this.timeout(60_000);
    registry = await startRegistry();
    test = await makeTestStore();
    const layers = Array.from({ length: 6 }, (_, number) => layer(number));
    for (let number = 0; number < 6; number += 1) {
      // Two without layers, whose lane is quick; chains that begin alike, and a layer in two different chains.
      const own = [[], [0, 1], [0, 1, 2], [], [3, 4, 0], [5]][number] ?? [];
      const source = {
        layers: own.map((position) => layers[position] ?? layer(9)),
        config: { Cmd: [String(number)] },
        docker: number === 5,
      };
      const { reference } = await pushImage(registry.host, `kills/image-${number}`, "v1", source);
      const { chainIds } = await test.store.pull(reference, undefined, signal);
      images.push(knownImage(reference, `image-${number}`, source, chainIds));
    }
    for (const hex of new Set(images.flatMap((image) => image.layers))) trees.set(hex, await treeOf(test, hex));
    for (const { reference } of images) await test.store.remove(reference, signal);
  });
  after(async () => {
    await test.close();
    await registry.stop();
  });

  it(`is whole at the next start, ${kills} times`, async function () {
    this.timeout(Math.max(60_000, kills * 20_000));
    const acknowledged = new Acknowledged();
    const references = images.map(({ reference }) => reference);
    const met = new Map<string, number>();
    let victim = startVictim(test.directory, references);
    for (let kill = 1; kill <= kills; kill += 1) {
      const killed = await killAtRandom(victim, longestLifeMs);
      if (kill < kills) victim = startVictim(test.directory, references); // loads while we look
      expect(killed.failures).to.deep.equal([]);
      for (const { what } of killed.underWay) met.set(what, (met.get(what) ?? 0) + 1);
      acknowledged.take(killed);
      const store = await test.openAgain();
      await expectWhole(test, store, images, acknowledged, trees);
      if (kill % skopeoEach === 0) await expectReadable((await store.list()).flatMap(({ repoTags }) => repoTags));
      await store.close();
    }
    process.stdout.write(`      killed during: ${JSON.stringify(Object.fromEntries(met))}\n`);
  });

  async function expectReadable(tags: readonly string[]): Promise<void> {
    for (const tag of tags) {
      const copy = join(test.directory, "..", "copy");
      await run("skopeo", ["copy", `oci:${test.directory}:${tag}`, `dir:${copy}`]);
      await rm(copy, { recursive: true });
    }
  }
});
