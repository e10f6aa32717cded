/** What a layer finds that has taken the unpacker over: test/image/hostile runs in the place of its reader of archives. */
import { expect } from "chai";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openUsers, usersRoot } from "../../src/image/unpack/users.js";
import { loadNative } from "../../src/native/addon.js";
import { startHostileRegistry, type HostileRegistry } from "../support/hostile-registry.js";
import { makeTestStore, type TestStore } from "../support/image-store.js";
import { projectDirectory } from "../support/project.js";
import { buildLayer } from "../support/tar-builder.js";
import { eventually } from "../support/wait.js";

const assetsDir = join(projectDirectory, "build", "assets");
const hostile = join(assetsDir, "unpackers", "hostile");
const layer = buildLayer([{ name: "file", content: "x".repeat(50_000) }]);
const { native } = loadNative(assetsDir);

describe("a layer that has taken the unpacker over", function () {
  this.timeout(60_000);

  it("reaches no file of the host by any descriptor that it has", async () => {
    const registry = await startHostileRegistry();
    const assets = await mkdtemp(join(tmpdir(), "a3s-test-hostile-"));
    await mkdir(join(assets, "bin"));
    await symlink(hostile, join(assets, "bin", "a3s-box-unpacker"));
    const test = await makeTestStore({ assetsDir: assets });
    try {
      const { reference } = registry.serve("team/app", "v1", { layers: [layer] });
      const signal = new AbortController().signal;
      const thrown = await test.store.pull(reference, undefined, signal).catch((caught: unknown) => caught);
      expect(thrown).to.have.property("message").that.includes("taken over: ").and.does.not.include("opened");
    } finally {
      await test.close();
      await registry.stop();
      await rm(assets, { recursive: true });
    }
  });

  /** With the host's root on the lock's descriptor: what is left when the jail is lost. */
  async function withoutJail(users: number | undefined): Promise<Map<string, string>> {
    const top = await mkdtemp(join(tmpdir(), "a3s-test-hostile-"));
    try {
      const directory = join(top, "layer");
      await mkdir(directory);
      await writeFile(join(top, "blob"), layer.bytes);
      await using blob = await open(join(top, "blob"), "r");
      await using root = await open("/", "r");
      const args = ["unpack", directory, "gzip", String(layer.bytes.length), layer.diffId];
      if (users !== undefined) args.push(String(usersRoot));
      const stdio = [blob.fd, "ignore", "ignore", root.fd, ...(users === undefined ? [] : [users])] as const;
      await once(spawn(hostile, args, { stdio: [...stdio] }), "close");
      const said = (await readFile(join(directory, "result"), "utf8")).split("\0")[1] ?? "";
      const parts = said.replace(/^.*taken over: /, "").split("; ");
      return new Map(parts.filter((part) => part !== "").map((part) => [part.split(":")[0] ?? "", part]));
    } finally {
      await native.removeTree(top);
    }
  }

  it("is nobody on the host even when its jail is lost: what all may read is all that it can read", async () => {
    const today = await withoutJail(undefined);
    // Else nothing is tried: the same program as root of the host, with the host's root directory.
    for (const what of ["read etc/shadow", "write etc/passwd", "make etc/a3s-hostile-layer"]) {
      expect(today.get(what)).to.include("opened by 3");
    }
    const users = await openUsers(native);
    try {
      const found = await withoutJail(users);
      expect(found.get("read etc/shadow")).to.include("EACCES").and.not.include("opened");
      expect(found.get("write etc/passwd")).to.include("EACCES").and.not.include("opened");
      expect(found.get("make etc/a3s-hostile-layer")).to.include("EACCES").and.not.include("opened");
      expect(found.get("write proc/sys/kernel/core_pattern")).to.include("EACCES").and.not.include("opened");
      expect(found.get("mknod")).to.equal("mknod: EPERM");
      expect(found.get("read etc/passwd")).to.include("opened by 3");
      // The broker is root of the host, and looks at no directory but the layer's.
      expect(found.get("broker")).to.equal("broker: EXDEV");
    } finally {
      await native.closeFd(users);
    }
  });
});

describe("the processes that unpack for a store", function () {
  this.timeout(60_000);
  let registry: HostileRegistry;
  let test: TestStore;
  let held: ServerResponse | undefined;
  const caller = new AbortController();
  let pulling: Promise<unknown>;
  let pids: number[];

  before(async () => {
    registry = await startHostileRegistry();
    test = await makeTestStore();
    const { reference } = registry.serve("team/app", "v1", { layers: [layer] });
    registry.answer(`/blobs/${layer.digest}`, (_request, response) => {
      response.writeHead(200, { "content-length": layer.bytes.length });
      response.write(layer.bytes.subarray(0, 20));
      held = response;
    });
    pulling = test.store.pull(reference, undefined, caller.signal).catch((thrown: unknown) => thrown);
    pids = await eventually("an unpacker and its broker in their jails", 30_000, async () => {
      const unpacker = await unpackerOf(process.pid);
      const broker = unpacker === undefined ? undefined : (await childrenOf(unpacker))[0];
      if (unpacker === undefined || broker === undefined) return undefined;
      const both = [unpacker, broker];
      const closed = await Promise.all(both.map(async (pid) => /^Seccomp:\s2/m.test(await statusOf(pid))));
      return closed.every(Boolean) ? both : undefined;
    });
  });
  after(async () => {
    caller.abort();
    held?.destroy();
    await pulling;
    await test.close();
    await registry.stop();
  });

  it("have no directory of the host among their descriptors", async () => {
    for (const pid of pids) {
      const jail = (await readFile(`/proc/${pid}/mountinfo`, "utf8")).split(" ")[0];
      const directories: string[] = [];
      for (const fd of await readdir(`/proc/${pid}/fd`)) {
        const found = await stat(`/proc/${pid}/fd/${fd}`).catch(() => undefined);
        if (found?.isDirectory() !== true) continue;
        const mount = /^mnt_id:\s+(\d+)$/m.exec(await readFile(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1];
        if (mount !== jail) directories.push(`${fd}: ${await readlink(`/proc/${pid}/fd/${fd}`)}`);
      }
      expect(directories).to.deep.equal([]);
    }
  });

  it("are root of a user namespace that has none of the host's users, but for the broker, which parses nothing", async () => {
    const [unpacker = 0, broker = 0] = pids;
    const map = (await readFile(`/proc/${unpacker}/uid_map`, "utf8")).trim().split(/\s+/);
    expect(map).to.deep.equal(["0", String(usersRoot), String(2 ** 31 - 1)]);
    expect(await statusOf(unpacker))
      .to.match(new RegExp(`^Uid:(\\t${usersRoot}){4}$`, "m"))
      .and.match(new RegExp(`^Gid:(\\t${usersRoot}){4}$`, "m"))
      // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, SETFCAP 31, of the namespace.
      .and.match(/^CapEff:\t000000008000001b$/m)
      .and.match(/^CapBnd:\t000000008000001b$/m);
    const namespaces = await Promise.all([unpacker, broker].map((pid) => readlink(`/proc/${pid}/ns/user`)));
    expect(namespaces[0]).to.not.equal(await readlink("/proc/self/ns/user"));
    expect(namespaces[1]).to.equal(await readlink("/proc/self/ns/user"));
  });

  it("end at once with the pull that is given up", async () => {
    const begunMs = performance.now();
    caller.abort();
    expect(await pulling).to.have.property("code", "canceled");
    expect(performance.now() - begunMs).to.be.lessThan(1000);
    const isGone = async (pid: number) => /^State:\s[ZX]/m.test(await statusOf(pid).catch(() => "State:\tX"));
    expect(await isGone(pids[0] ?? 0)).to.equal(true);
    await eventually("the broker's end", 5000, async () => (await isGone(pids[1] ?? 0)) || undefined);
  });
});

async function statusOf(pid: number): Promise<string> {
  return await readFile(`/proc/${pid}/status`, "utf8");
}

async function childrenOf(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, "utf8").catch(() => ""));
  return (await Promise.all(lists)).flatMap((list) => list.trim().split(" ").filter(Boolean).map(Number));
}

async function unpackerOf(pid: number): Promise<number | undefined> {
  for (const child of await childrenOf(pid)) {
    const name = await readFile(`/proc/${child}/comm`, "utf8").catch(() => "");
    if (name.startsWith("a3s-box-unpack")) return child;
  }
  return undefined;
}
