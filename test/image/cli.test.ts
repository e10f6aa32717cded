import { execFile } from "node:child_process";
import { expect } from "chai";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ImageStore } from "../../src/image/image-store.js";
import { openTestStore, run } from "../support/image-store.js";
import { projectDirectory } from "../support/project.js";
import { pushImage, startRegistry, type TestRegistry } from "../support/registry.js";
import { buildLayer } from "../support/tar-builder.js";

const signal = new AbortController().signal;
const base = buildLayer([{ name: "file", content: "content" }]);

describe("the image commands", () => {
  let registry: TestRegistry;
  let root: string;
  /** As a daemon has it open, all the time. */
  let store: ImageStore;

  before(async () => {
    registry = await startRegistry();
    root = await mkdtemp(join(tmpdir(), "a3s-test-cli-"));
    store = await openTestStore(join(root, "images"));
  });
  after(async () => {
    await store.close();
    await registry.stop();
    await rm(root, { recursive: true });
  });

  const image = async (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
    await promisify(execFile)(process.execPath, [
      "--import=tsx",
      join(projectDirectory, "src/main.ts"),
      "image",
      ...args,
      "--root",
      root,
      "--state",
      join(root, "run"),
    ]);

  it("pull, list, inspect, export, import, rm and prune, beside a process that has the store open", async function () {
    this.timeout(90_000);
    const [one, two] = [
      await pushImage(registry.host, "team/one", "v1", { layers: [base], config: { Cmd: ["one"] } }),
      await pushImage(registry.host, "team/two", "v1", { layers: [base], docker: true, config: { Cmd: ["two"] } }),
    ];
    const pulled = await image("pull", one.reference);
    expect(pulled.stdout).to.equal(`${one.configDigest}  ${one.reference}\n`);
    expect(pulled.stderr).to.match(/^1 layers, [\d.]+ MiB\n\w{12} downloaded, [\d.]+ MiB\n$/);
    expect((await store.find(one.reference))?.id).to.equal(one.configDigest);
    await store.pull(two.reference, undefined, signal);
    const listed: unknown = JSON.parse((await image("list", "--json")).stdout);
    expect(listed).to.have.length(2);
    await store.prepareSnapshot("c1", await store.pull(one.reference, undefined, signal), signal);
    const inspected: unknown = JSON.parse((await image("inspect", one.configDigest, "--json")).stdout);
    expect(inspected).to.deep.include({ id: one.configDigest, usedBy: ["c1"] });
    expect(inspected)
      .to.have.nested.property("imageSpec.config")
      .that.deep.equals({ Cmd: ["one"] });

    const archive = join(root, "images.tar");
    await image("export", archive, one.reference, two.configDigest);
    for (const { reference, configDigest } of [one, two]) {
      const seen = await run("skopeo", ["inspect", "--config", `oci-archive:${archive}:${reference}`]);
      expect(seen).to.include(configDigest === one.configDigest ? '"one"' : '"two"');
    }
    expect((await image("prune")).stdout).to.equal(`${two.configDigest}  ${two.reference}\n`);
    const failed: unknown = await image("rm", two.reference, one.reference).catch((caught: unknown) => caught);
    expect(failed).to.have.property("code", 1);
    expect(failed).to.have.property("stderr", `image "${two.reference}" is not here\n`);
    expect(await store.list()).to.deep.equal([]);
    const imported: unknown = JSON.parse((await image("import", archive, "--json")).stdout);
    expect(imported).to.have.length(2);
    for (const { reference, configDigest } of [one, two])
      expect((await store.find(reference))?.id).to.equal(configDigest);
  });
});
