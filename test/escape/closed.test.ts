/**
 * What a local account of the node gains from what root in a container writes: nothing. Containers of every kind make
 * set-uid programs wherever they may write; another user then tries each path below the daemon's directories.
 */
import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NamespaceMode, type UserNamespace } from "../../src/gen/runtime/v1/api.js";
import { runtime } from "../support/cri-client.js";
import { Daemon, nativeHandler } from "../support/daemon.js";
import { busyboxSource } from "../support/images.js";
import { boxProcesses } from "../support/machine.js";
import { runPod, shell, startContainer, type ContainerConfigPart, type Pod } from "../support/pods.js";
import { limit } from "../support/wait.js";

const nobody = { uid: 65_534, gid: 65_534 };
const mib = 1 << 20;
const podFiles = ["hostname", "hosts", "resolv.conf"] as const;

const mapping = { hostId: 131_072, containerId: 0, length: 65_536 };
const userns: UserNamespace = { mode: NamespaceMode.POD, uids: [mapping], gids: [mapping] };
const inUserns = {
  linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER, usernsOptions: userns } } },
};

/** A program of 134 bytes (elf(5), System V ABI) that exits with its effective user: 0 only for root. */
function programOfRoot(): Buffer {
  const code = Buffer.from([0xb8, 107, 0, 0, 0, 0x0f, 5, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 5]);
  const header = Buffer.alloc(120);
  const base = 0x40_0000n;
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(62, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(base + 120n, 24);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt32LE(1, 64);
  header.writeUInt32LE(5, 68);
  header.writeBigUInt64LE(base, 80);
  header.writeBigUInt64LE(base, 88);
  header.writeBigUInt64LE(BigInt(120 + code.length), 96);
  header.writeBigUInt64LE(BigInt(120 + code.length), 104);
  header.writeBigUInt64LE(4096n, 112);
  return Buffer.concat([header, code]);
}

interface Found {
  readonly kind: string;
  readonly mode: number;
  readonly path: string;
}

/** As root sees them, also where nobody else may list them: their names are in /proc/mounts, or can be guessed. */
function everythingBelow(...directories: readonly string[]): Found[] {
  const listed = spawnSync("find", [...directories, "-printf", "%y %m %p\\0"], {
    encoding: "utf8",
    maxBuffer: 64 * mib,
  });
  return listed.stdout
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => {
      const [, kind = "", mode = "", path = ""] = /^(.) (\d+) (.*)$/s.exec(line) ?? [];
      return { kind, mode: Number.parseInt(mode, 8), path };
    });
}

/** Those that the user may pass (directories), or read or write (anything else). */
function usableBy(user: { readonly uid: number; readonly gid: number }, found: readonly Found[]): string[] {
  const script = `const { accessSync, constants: { R_OK, W_OK, X_OK } } = require("fs");
    const may = (path, mode) => { try { accessSync(path, mode); return true } catch { return false } };
    const found = JSON.parse(require("fs").readFileSync(0, "utf8"));
    const usable = ({ kind, path }) => kind === "d" ? may(path, X_OK) : kind !== "l" && (may(path, R_OK) || may(path, W_OK) || may(path, X_OK));
    process.stdout.write(JSON.stringify(found.filter(usable).map(({ path }) => path)));`;
  const input = JSON.stringify(found);
  const { stdout, stderr } = spawnSync(process.execPath, ["-e", script], {
    ...{ input, encoding: "utf8", maxBuffer: 64 * mib },
    ...user,
  });
  if (stdout === "") throw new Error(stderr);
  const usable: unknown = JSON.parse(stdout);
  return Array.isArray(usable) ? usable.map(String) : [];
}

/** Its exit status, or why it could not be run. */
function runAs(user: { readonly uid: number; readonly gid: number }, path: string): string {
  const { status, error } = spawnSync(path, [], { ...user, timeout: 10_000 });
  return error === undefined ? String(status) : ((error as NodeJS.ErrnoException).code ?? "failed");
}

describe("another user of the node", function () {
  this.timeout(limit(120_000));
  let daemon: Daemon;
  const pods: { readonly name: string; readonly pod: Pod; readonly container: string }[] = [];
  const image = "localhost/test/volumes:1";

  before(async () => {
    const volumes = { tag: image, ...(await busyboxSource({ Volumes: { "/declared": {} } })) };
    daemon = await Daemon.start({ images: [volumes], config: nativeHandler });
    const { runtimeHandlers } = await daemon.cri.call(runtime.status, {});
    const canMap = (handler: string): boolean =>
      runtimeHandlers.find(({ name }) => name === handler)?.features?.userNamespaces === true;
    for (const handler of ["microvm", "native"]) {
      const container: ContainerConfigPart = { image: { image } };
      const start = async (name: string, part: object): Promise<void> => {
        const pod = await runPod(daemon, part, handler);
        pods.push({ name, pod, container: await startContainer(daemon, pod, { ...container, ...part }) });
      };
      await start(handler, {});
      if (canMap(handler)) await start(`${handler} with users of its own`, inUserns);
    }
    const bytes = [...programOfRoot()].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
    const places = [...podFiles.map((name) => `/etc/${name}`), "/planted", "/declared/planted", "/dev/shm/planted"];
    const plant = places.map((path) => `printf '${bytes}' >${path} && chmod 6755 ${path}`).join(" && ");
    for (const { container } of pods) await shell(daemon, container, plant);
  });
  after(async () => {
    await (daemon as Daemon | undefined)?.removePods();
    await (daemon as Daemon | undefined)?.remove();
  });

  it("has a program that tells root from others", async () => {
    const path = join(daemon.base, "program");
    await writeFile(path, programOfRoot(), { mode: 0o755 });
    expect(runAs(nobody, path)).to.equal("254");
    await chmod(path, 0o4755);
    expect(runAs(nobody, path)).to.equal("0");
  });

  it("can run no set-uid program that a container has made, by no path of root and state", () => {
    const found = everythingBelow(daemon.root, daemon.state);
    const planted = found.filter(({ kind, mode }) => kind === "f" && (mode & 0o6000) !== 0);
    // In each pod's root, its volume and its three files at least: they are there, and root sees them.
    expect(planted.length).to.be.at.least(5 * pods.length);
    const ran = planted.map(({ path }) => `${runAs(nobody, path)} ${path}`);
    expect(ran.filter((line) => !line.startsWith("EACCES "))).to.deep.equal([]);
  });

  it("passes no directory of root and state, and reads no file, but those that pods of the host pass on their way", () => {
    const found = everythingBelow(daemon.root, daemon.state);
    expect(found.length).to.be.above(100);
    expect(usableBy({ uid: 0, gid: 0 }, found).length).to.be.above(100);
    expect(usableBy(nobody, found)).to.deep.equal([
      daemon.state, // root of a pod's user namespace is such a user, and passes both
      join(daemon.state, "boxes"),
    ]);
  });

  it("can list neither of them, and looks through no process of a Box", async () => {
    for (const path of [daemon.state, join(daemon.state, "boxes")]) {
      expect((await stat(path)).mode & 0o007, path).to.equal(1);
    }
    const processes = await boxProcesses(daemon.scope);
    expect(processes.length).to.be.at.least(pods.length);
    const doors = processes.flatMap(({ pid }) =>
      ["root", "cwd", "fd"].map((name): Found => ({ kind: "d", mode: 0, path: `/proc/${String(pid)}/${name}` })),
    );
    expect(usableBy(nobody, doors)).to.deep.equal([]);
  });

  it("finds the files of a pod on a file system of its own, where nothing is a program or set-uid", async () => {
    const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").map((line) => line.split(" "));
    for (const { name, pod } of pods) {
      const directory = join(daemon.state, "sandboxes", pod.id);
      const words = mounts.find((line) => line[4] === directory);
      expect(words?.[5]?.split(","), name).to.include.members(["nosuid", "nodev", "noexec"]);
      expect(words?.at(-1), name).to.match(/size=1024k,nr_inodes=5,mode=700/);
    }
  });

  it("shares a disk that no container can fill by its /etc/hosts: there is 1 MiB for a pod, in memory", async () => {
    const files = podFiles.map((name) => `/etc/${name}`);
    const fill = files.map((path) => `dd if=/dev/zero of=${path} bs=64k count=64 2>/dev/null`).join(";");
    for (const { name, container } of pods) {
      const written = await shell(daemon, container, `${fill}; cat ${files.join(" ")} | wc -c`);
      expect(Number(written), name).to.be.within(mib / 2, mib);
    }
  });

  it("does not pass directories that a daemon before this one has left open, once this one has started", async () => {
    await daemon.stop("SIGKILL");
    const former = join(daemon.root, "sandboxes");
    await mkdir(former, { recursive: true, mode: 0o755 });
    for (const path of [daemon.root, former, join(daemon.state, "sandboxes"), join(daemon.state, "netns")]) {
      await chmod(path, 0o755);
    }
    const ofPod = join(former, pods[0]?.pod.id ?? "");
    await mkdir(ofPod, { recursive: true, mode: 0o755 });
    await writeFile(join(ofPod, "hostname"), programOfRoot());
    await chmod(join(ofPod, "hostname"), 0o4755);
    expect(runAs(nobody, join(ofPod, "hostname"))).to.equal("0");
    await daemon.launch();
    expect(runAs(nobody, join(ofPod, "hostname"))).to.equal("EACCES");
    for (const path of [daemon.root, former, join(daemon.state, "sandboxes"), join(daemon.state, "netns")]) {
      expect((await stat(path)).mode & 0o777, path).to.equal(0o700);
    }
  });
});
