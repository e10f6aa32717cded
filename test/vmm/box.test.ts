import { expect } from "chai";
import { access, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { newContainerId } from "../../src/base/ids.js";
import type { Box } from "../../src/vmm/box.js";
import { limit } from "../support/wait.js";
import { BoxBench, native, within } from "./bench-of-boxes.js";
import { busyboxSpec } from "./busybox-spec.js";

/** Runs a command line in a session of its own, in a busybox root with one volume, and takes it away again. */
async function runSession(
  box: Box,
  bench: BoxBench,
  command: string,
  volume?: { source: string; readonly: boolean },
): Promise<{ stdout: string; stderr: string; code: number; rootPath: string }> {
  const sessionId = newContainerId();
  const root = await box.shareOverlay("root", await bench.snapshot());
  const bind = volume === undefined ? undefined : await box.shareBind("volume", volume.source, volume.readonly);
  const { agent } = box;
  const ref = { sessionId, execId: "" };
  await agent.createSession(
    {
      sessionId,
      ociSpec: Buffer.from(JSON.stringify(busyboxSpec(root.guestPath, command, bind?.guestPath))),
      heldPaths: [root.guestPath, ...(bind === undefined ? [] : [bind.guestPath])],
      mirroredPaths: [],
      propagatedPaths: [],
      hugeVolumes: [],
      root: undefined,
      seccompBpf: new Uint8Array(),
      seccompFlags: 0,
      apparmorPolicy: new Uint8Array(),
      stdin: false,
    },
    within(30_000),
  );
  await agent.startSession(sessionId, within(30_000));
  const output = { 1: "", 2: "" };
  const reader = agent.output(ref, 0n, false, within(30_000));
  for await (const { stream, data, sequence } of reader) {
    if (stream === 1 || stream === 2) output[stream] += Buffer.from(data).toString();
    reader.acknowledge(sequence);
  }
  const exit = await agent.wait(ref, within(30_000));
  await agent.deleteSession(sessionId, within(30_000));
  await box.removeShared(root.hostPath);
  if (bind !== undefined) await box.removeShared(bind.hostPath);
  return { stdout: output[1], stderr: output[2], code: exit.code, rootPath: root.hostPath };
}

/** Mounts of an entry of the share in the namespace of whoever serves it. */
async function mountsInside(box: Box, hostPath: string): Promise<string[]> {
  const server = box.handle.processes.at(-1)?.pid ?? 0;
  const children = await readFile(`/proc/${server}/task/${server}/children`, "utf8");
  const pid =
    children
      .trim()
      .split(" ")
      .find((child) => child !== "") ?? String(server);
  const lines = (await readFile(`/proc/${pid}/mountinfo`, "utf8")).split("\n");
  return lines.filter((line) => line.includes(`/${basename(hostPath)}`));
}

describe("a Box", function () {
  this.timeout(limit(120_000));
  let bench: BoxBench;
  let box: Box;
  before(async () => {
    bench = await BoxBench.open();
    box = await bench.boot();
  });
  after(async () => {
    await bench[Symbol.asyncDispose]();
  });

  it("answers from a kernel of its own", async () => {
    const hello = await box.agent.hello(within(10_000));
    const host = (await readFile("/proc/sys/kernel/osrelease", "utf8")).trim();
    expect(hello.kernelRelease)
      .to.match(/^6\.12\./)
      .and.not.equal(host);
    expect(hello.protocol).to.equal(1);
  });

  it("runs a session on an overlay: output of both streams, and the exit status", async () => {
    const { stdout, stderr, code } = await runSession(box, bench, "uname -r; echo two >&2; echo x > /made; exit 7");
    expect(stdout).to.match(/^6\.12\.\d+(-a3s)?\n$/);
    expect(stderr).to.equal("two\n");
    expect(code).to.equal(7);
  });

  it("shows a directory of the host, for writing where that is wanted", async () => {
    const source = join(bench.directory, "volume");
    await mkdir(source);
    await writeFile(join(source, "from-host"), "hello from the host\n");
    const { stdout } = await runSession(box, bench, "cat /volume/from-host; echo guest > /volume/from-guest", {
      source,
      readonly: false,
    });
    expect(stdout).to.equal("hello from the host\n");
    expect(await readFile(join(source, "from-guest"), "utf8")).to.equal("guest\n");
  });

  it("can't write to a read-only directory, whatever it mounts inside", async () => {
    const source = join(bench.directory, "readonly");
    await mkdir(source);
    const attempt = "mount -o remount,rw,bind /volume; echo x > /volume/made; ls /volume";
    const { stdout, stderr } = await runSession(box, bench, attempt, { source, readonly: true });
    expect(stdout).to.equal("");
    expect(stderr).to.contain("Read-only file system");
    expect(
      await access(join(source, "made")).then(
        () => true,
        () => false,
      ),
    ).to.equal(false);
  });

  it("keeps the host's submounts when the bind of their parent goes", async () => {
    const source = join(bench.directory, "nested");
    await mkdir(join(source, "inner"), { recursive: true });
    await native.mountTmpfs(source, 1 << 20, 0o755);
    await native.setPropagation(source, "shared", false);
    await mkdir(join(source, "inner"));
    await native.mountTmpfs(join(source, "inner"), 1 << 20, 0o755);
    try {
      await writeFile(join(source, "inner/file"), "still here");
      const { hostPath } = await box.shareBind("nested", source, true);
      const inside = await box.lookAtShared(hostPath, (path) => readFile(join(path, "inner/file"), "utf8"));
      expect(inside).to.equal("still here");
      expect(await mountsInside(box, hostPath)).to.have.length(2); // the bind, and what is mounted in it
      await box.removeShared(hostPath);
      expect(await mountsInside(box, hostPath)).to.deep.equal([]);
      expect(await readFile(join(source, "inner/file"), "utf8")).to.equal("still here");
    } finally {
      await native.unmount(source, true);
    }
  });

  it("gives names that no one can guess, and takes nothing away that is not in its share", async () => {
    const source = join(bench.directory, "twice");
    await mkdir(source);
    const one = await box.shareBind("a/../b", source, true);
    const two = await box.shareBind("a/../b", source, true);
    expect(one.guestPath)
      .to.match(/^\/v\/a_\.\._b-[0-9a-f]{16}$/)
      .and.not.equal(two.guestPath);
    await box.removeShared(one.hostPath);
    await box.removeShared(one.hostPath);
    await box.removeShared(two.hostPath);
    const refused = await box
      .removeShared(join(box.handle.directory, "share"))
      .catch((thrown: unknown) => String(thrown));
    expect(refused).to.contain("is not an entry of");
  });

  it("says what it costs", async () => {
    expect(Number(await box.memoryUsage()) / 2 ** 20).to.be.within(20, 400);
  });
});
