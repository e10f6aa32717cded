import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, readlink } from "node:fs/promises";
import { expect } from "chai";
import { Worker } from "node:worker_threads";
import { orAborted } from "../../src/base/or-aborted.js";
import type { MountWatch } from "../../src/native/addon.js";
import { addonFile } from "../support/native-builds.js";
import { Scratch, native } from "./scratch.js";

describe("a watch of the host's mounts", () => {
  let scratch: Scratch;
  let watch: MountWatch;
  beforeEach(async () => {
    scratch = await Scratch.make();
    await mkdir(scratch.in("at"));
    watch = native.watchMounts();
  });
  afterEach(async () => {
    watch.close();
    await scratch[Symbol.asyncDispose]();
  });

  const mount = (): Promise<void> => native.mountTmpfs(scratch.in("at"), 1 << 20, 0o755);
  const unmount = (): Promise<void> => native.unmount(scratch.in("at"), false);
  /** Within 5 s; the watch alone does not keep the event loop alive. */
  const told = (promise: Promise<boolean>): Promise<boolean> => orAborted(promise, AbortSignal.timeout(5_000));
  const isWaiting = async (promise: Promise<boolean>): Promise<boolean> =>
    (await Promise.race([promise, new Promise((resolve) => setTimeout(resolve, 50))])) === undefined;

  it("tells of a mount and of its end, and of nothing while nothing changes", async () => {
    for (const change of [mount, unmount]) {
      const next = watch.next();
      expect(await isWaiting(next)).to.equal(true);
      await change();
      expect(await told(next)).to.equal(true);
    }
  });

  it("tells of what has changed while nobody waited, also before the first wait, once", async () => {
    await mount();
    expect(await told(watch.next())).to.equal(true);
    await unmount();
    await mount();
    expect(await told(watch.next())).to.equal(true);
    expect(await isWaiting(watch.next())).to.equal(true);
  });

  it("ends for who waits, and leaves no thread and no descriptor", async () => {
    const before = await ownParts();
    const other = native.watchMounts();
    const next = other.next();
    expect(other.next()).to.equal(next);
    expect((await ownParts()).threads).to.equal(before.threads + 1);
    other.close();
    other.close();
    expect(await told(next)).to.equal(false);
    expect(await told(other.next())).to.equal(false);
    expect(await ownParts()).to.deep.equal(before);
  });

  it("goes with its worker, and keeps no process alive", async () => {
    const code = `
      const watch = require(${JSON.stringify(addonFile)}).watchMounts();
      void watch.next();
      globalThis.kept = watch;`;
    const before = await ownParts();
    const worker = new Worker(code, { eval: true, execArgv: [] });
    expect(await once(worker, "exit")).to.deep.equal([0]);
    expect((await ownParts()).files).to.deep.equal(before.files);
    const child = spawn(process.execPath, ["-e", code], { stdio: "inherit" });
    expect(await once(child, "close")).to.deep.equal([0, null]);
  });
});

async function ownParts(): Promise<{ readonly threads: number; readonly files: string[] }> {
  const status = await readFile("/proc/self/status", "utf8");
  const files = await Promise.all(
    (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")),
  );
  return {
    threads: Number(/^Threads:\s+(\d+)$/m.exec(status)?.[1]),
    files: files.filter((file) => file.includes("mountinfo") || file.includes("eventfd")).sort(),
  };
}
