/**
 * Ten images of the distribution's packages, each from a real registry: the tree of each against the one that `umoci`
 * unpacks, entry by entry, and the store as the OCI layout that `skopeo` reads.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { makeTestStore, run, type TestStore } from "../support/image-store.js";
import { packageImages } from "../support/package-images.js";
import { pushImage, startRegistry, type PushedImage, type TestRegistry } from "../support/registry.js";
import { differences, treeFacts } from "../support/tree-facts.js";

const signal = new AbortController().signal;

describe("ten images of the distribution's packages", function () {
  this.timeout(300_000);
  let registry: TestRegistry;
  let test: TestStore;
  let scratch: string;
  const pushed = new Map<string, PushedImage & { readonly layers: readonly string[] }>();

  before(async () => {
    registry = await startRegistry();
    test = await makeTestStore();
    scratch = await mkdtemp(join(tmpdir(), "a3s-test-umoci-"));
    for (const { name, build } of packageImages) {
      const source = await build();
      const layers = source.layers.map(({ digest }) => digest);
      pushed.set(name, { ...(await pushImage(registry.host, name, "1", source)), layers });
    }
  });
  after(async () => {
    await test.close();
    await registry.stop();
    await rm(scratch, { recursive: true, force: true });
  });

  for (const { name } of packageImages) {
    it(`${name}: the tree is umoci's, and the store's copy is the registry's, byte by byte`, async () => {
      const { reference, digest, layers } = pushedAs(name);
      const image = await test.store.pull(reference, undefined, signal);
      expect(await treeOf(name)).to.equal("");

      const inspected: unknown = JSON.parse(await run("skopeo", ["inspect", `oci:${test.directory}:${reference}`]));
      expect(inspected).to.have.property("Layers").that.deep.equals(layers);
      // Pushed from the store's directory to another name: the registry takes it only with every digest right.
      const again = `${registry.host}/again/${name}`;
      const copy = ["copy", "--quiet", "--dest-tls-verify=false", `oci:${test.directory}:${reference}`];
      await run("skopeo", [...copy, `docker://${again}:1`]);
      expect(await servedDigest(again)).to.equal(digest);
      expect(image.id).to.equal(pushedAs(name).configDigest);
    });
  }

  function pushedAs(name: string): PushedImage & { readonly layers: readonly string[] } {
    const found = pushed.get(name);
    if (found === undefined) throw new Error(`${name} was not pushed`);
    return found;
  }

  /** What differs between our merged layers and umoci's directory. */
  async function treeOf(name: string): Promise<string> {
    const { reference } = pushedAs(name);
    const image = await test.store.find(reference);
    if (image === undefined) throw new Error(`${reference} is not here`);
    const { lowers } = await test.store.prepareSnapshot(name, image, signal);
    const directory = join(scratch, name);
    const merged = join(directory, "merged");
    await mkdir(merged, { recursive: true });
    const fromRegistry = ["copy", "--quiet", "--src-tls-verify=false", `docker://${reference}`];
    await run("skopeo", [...fromRegistry, `oci:${directory}/layout:it`]);
    await run("umoci", ["unpack", "--image", `${directory}/layout:it`, `${directory}/bundle`]);
    const flags = { readonly: true, nosuid: true, nodev: true };
    // Without the container's own directory on top, whose times are its own.
    await test.native.mountOverlay({ lowers, upper: null, work: null, target: merged, flags, index: false });
    try {
      const theirs = await treeFacts(join(directory, "bundle/rootfs"));
      expect(theirs.size).to.be.greaterThan(50);
      return differences(await treeFacts(merged), theirs).join("\n");
    } finally {
      await test.native.unmount(merged, true);
      await rm(directory, { recursive: true });
    }
  }

  async function servedDigest(repository: string): Promise<string | null> {
    const [host = "", ...path] = repository.split("/");
    const accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
    const url = `http://${host}/v2/${path.join("/")}/manifests/1`;
    return (await fetch(url, { method: "HEAD", headers: { accept } })).headers.get("docker-content-digest");
  }
});
