/** Layers are unpacked while they download: seen by a registry that holds the rest back until the beginning is there. */
import { expect } from "chai";
import { randomBytes } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { startHostileRegistry, type HostileRegistry } from "../support/hostile-registry.js";
import { makeTestStore, type TestStore } from "../support/image-store.js";
import { buildLayer } from "../support/tar-builder.js";
import { cgroupHierarchies } from "../../src/base/cgroups.js";
import { readMountinfo } from "../../src/base/mountinfo.js";
import { eventually } from "../support/wait.js";

const mib = 1024 * 1024;
const layer = buildLayer([
  { name: "first", content: "1" },
  { name: "bulk", content: randomBytes(4 * mib) },
  { name: "last", content: "2" },
]);
const half = 3 * mib;
const limitMs = 30_000;

describe("a layer that downloads", function () {
  this.timeout(60_000);
  let registry: HostileRegistry;
  let test: TestStore;
  let reference: string;
  /** Gives the first half, then what it is told. */
  let held: ServerResponse | undefined;

  beforeEach(async () => {
    registry = await startHostileRegistry();
    test = await makeTestStore();
    ({ reference } = registry.serve("team/app", "v1", { layers: [layer] }));
    held = undefined;
    registry.answer(`/blobs/${layer.digest}`, (_request, response) => {
      response.writeHead(200, { "content-length": layer.bytes.length });
      response.write(layer.bytes.subarray(0, half));
      held = response;
    });
  });
  afterEach(async () => {
    await registry.stop();
    await test.close();
  });

  /** The tree that is being made, once its first file is whole. */
  async function begun(): Promise<void> {
    const ingest = join(test.directory, "ingest");
    await eventually("the first file of a layer", limitMs, async () => {
      for (const id of await readdir(ingest)) {
        for (const name of await readdir(join(ingest, id))) {
          const found = await readFile(join(ingest, id, name, "fs", "first"), "utf8").catch(() => "");
          if (found === "1" && (await stat(join(ingest, id, name, "fs", "bulk")).catch(() => undefined))) return true;
        }
      }
      return undefined;
    });
  }
  /** The groups, in every hierarchy, of the processes that unpack into the store; proc_pid_cgroup(5). */
  async function unpackersGroups(): Promise<string[]> {
    const found: string[] = [];
    for (const id of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      const words = (await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "")).split("\0");
      if (words[0] !== "a3s-box-unpacker" || words[2]?.startsWith(test.directory) !== true) continue;
      found.push(await readFile(`/proc/${id}/cgroup`, "utf8").catch(() => ""));
    }
    return found;
  }
  /** As a part of what a group has that nobody has given a weight. */
  async function unpackersWeight(): Promise<number> {
    const hierarchies = cgroupHierarchies(await readMountinfo());
    const old = hierarchies.find(({ controllers }) => controllers.includes("cpu"));
    const hierarchy = old ?? hierarchies.find(({ version }) => version === 2);
    const file = old === undefined ? "cpu.weight" : "cpu.shares";
    const weight = await readFile(join(hierarchy?.mountPoint ?? "", "a3s-box-unpackers", file), "utf8");
    return Number(weight) / (old === undefined ? 100 : 1024);
  }
  async function expectNothing(): Promise<void> {
    expect(await test.contents()).to.deep.equal({ blobs: [], layers: [] });
    expect(await test.leftovers()).to.deep.equal([]);
  }

  it("is unpacked meanwhile, and there as a whole only", async () => {
    const pull = test.store.pull(reference, undefined, new AbortController().signal);
    pull.catch(() => undefined);
    await begun();
    const groups = await unpackersGroups();
    expect(groups).to.not.be.empty;
    for (const group of groups) expect(group, "a group of their own").to.match(/:\/a3s-box-unpackers$/m);
    expect(await unpackersWeight()).to.equal(0.5);
    expect((await test.contents()).layers).to.deep.equal([]);
    held?.end(layer.bytes.subarray(half));
    const image = await pull;
    expect(String(await test.store.readFile(image, "/last"))).to.equal("2");
    expect(await test.leftovers()).to.deep.equal([]);
  });

  it("leaves nothing of what was unpacked when its digest is wrong in the end", async () => {
    const pull = test.store.pull(reference, undefined, new AbortController().signal).catch((caught: unknown) => caught);
    await begun();
    const rest = Buffer.from(layer.bytes.subarray(half));
    rest[rest.length - 1] = (rest.at(-1) ?? 0) ^ 1;
    held?.end(rest);
    expect(String(await pull)).to.match(/content of digest sha256:[0-9a-f]{64} came for/);
    await expectNothing();
  });

  it("leaves nothing when the caller gives up in the middle", async () => {
    const caller = new AbortController();
    const pull = test.store.pull(reference, undefined, caller.signal).catch((caught: unknown) => caught);
    await begun();
    caller.abort();
    expect(await pull).to.have.property("code", "canceled");
    await expectNothing();
  });

  it("goes on where its connection broke, and so does its unpacking", async () => {
    const pull = test.store.pull(reference, undefined, new AbortController().signal);
    pull.catch(() => undefined);
    await begun();
    registry.answer(`/blobs/${layer.digest}`, (request, response) => {
      const from = Number(/^bytes=([0-9]+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
      const range = `bytes ${from}-${layer.bytes.length - 1}/${layer.bytes.length}`;
      response.writeHead(206, { "content-length": layer.bytes.length - from, "content-range": range });
      response.end(layer.bytes.subarray(from));
    });
    held?.destroy();
    expect(String(await test.store.readFile(await pull, "/last"))).to.equal("2");
  });
});
