/**
 * Boxes with the kernel of the package, which a first set-up has for as long as a suite serves it (docs/adr/0144); all other
 * tests have ours.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { assetsWith, kernelOf } from "../support/guest-kernel/assets.js";
import { builtConfig } from "../support/guest-kernel/kernel.js";
import { busybox } from "../support/images.js";
import { exec, exited, removeContainer, runPod, shell, startContainer, type Pod } from "../support/pods.js";
import { skipBecause } from "../support/skip.js";
import { isThere } from "../../src/base/is-there.js";
import { limit } from "../support/wait.js";

describe("The kernel of the package", () => {
  let directory: string;
  let daemon: Daemon | undefined;
  let pod: Pod;

  before(async function () {
    this.timeout(limit(90_000));
    if ((await builtConfig()) === undefined) skipBecause(this, "all Boxes of this run have it");
    if (!(await isThere(kernelOf("package")))) skipBecause(this, "no suite served it when this machine was set up");
    directory = await mkdtemp(join(tmpdir(), "a3s-package-"));
    daemon = await Daemon.start({
      images: [await busybox()],
      config: `[assets]\ndir = "${await assetsWith("package", directory)}"\n`,
    });
    pod = await runPod(daemon);
  });
  after(async () => {
    await daemon?.remove();
    await rm(directory, { recursive: true, force: true });
  });

  const there = (): Daemon => {
    if (daemon === undefined) throw new Error("no daemon");
    return daemon;
  };

  it("runs containers, whose roots the host shares: Status says so, and why", async () => {
    const id = await startContainer(there(), pod);
    expect(await shell(there(), id, "awk '$2 == \"/\" { print $3 }' /proc/mounts")).to.equal("virtiofs\n");
    expect(await shell(there(), id, "ls /proc/config.gz 2>&1 || true")).to.include("No such file");
    const { info } = await there().cri.call(runtime.status, { verbose: true });
    expect(info["imageLayers"])
      .to.match(/"shared"/)
      .and.to.match(/mounts no file as EROFS/);
    await removeContainer(there(), id);
  });

  it("has volumes, both ways, and programs' output and ends", async () => {
    const volume = join(directory, "volume");
    await mkdir(volume);
    const mounts = [{ hostPath: volume, containerPath: "/volume" }];
    const id = await startContainer(there(), pod, { mounts });
    await shell(there(), id, "echo of the Box > /volume/theirs");
    expect(await readFile(join(volume, "theirs"), "utf8")).to.equal("of the Box\n");
    await writeFile(join(volume, "ours"), "of the host\n");
    expect(await shell(there(), id, "cat /volume/ours")).to.equal("of the host\n");
    expect((await exec(there(), id, ["sh", "-c", "exit 3"])).exitCode).to.equal(3);
    const writer = await startContainer(there(), pod, { command: ["sh", "-c", "echo a line; exit 4"] });
    const ended = await exited(there(), writer);
    expect(ended.exitCode).to.equal(4);
    expect(await readFile(ended.logPath, "utf8")).to.match(/^\S+ stdout F a line\n$/);
  });
});
