/**
 * Boxes with the kernel of the package, which a first set-up has for as long as a suite serves it (docs/adr/0144); all other
 * tests have ours.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { SecurityProfile_ProfileType } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { assetsWith, kernelOf } from "../support/guest-kernel/assets.js";
import { builtConfig } from "../support/guest-kernel/kernel.js";
import { busybox } from "../support/images.js";
import {
  createContainer,
  exec,
  exited,
  removeContainer,
  runPod,
  shell,
  startContainer,
  type Pod,
} from "../support/pods.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { isThere } from "../../src/base/is-there.js";
import { limit } from "../support/wait.js";

describe("The kernel of the package", () => {
  const undo = new Undo();
  let directory: string;
  let daemon: Daemon;
  let pod: Pod;

  before(async function () {
    this.timeout(limit(90_000));
    if ((await builtConfig()) === undefined) skipBecause(this, "all Boxes of this run have it");
    if (!(await isThere(kernelOf("package")))) skipBecause(this, "no suite served it when this machine was set up");
    directory = await mkdtemp(join(tmpdir(), "a3s-package-"));
    undo.add(() => rm(directory, { recursive: true }));
    daemon = await Daemon.start({
      images: [await busybox()],
      config: `[assets]\ndir = "${await assetsWith("package", directory)}"\n`,
    });
    undo.add(() => daemon.remove());
    pod = await runPod(daemon);
  });
  after(async () => {
    await undo.run();
  });

  it("runs containers, whose roots the host shares: Status says so, and why", async () => {
    const id = await startContainer(daemon, pod);
    expect(await shell(daemon, id, "awk '$2 == \"/\" { print $3 }' /proc/mounts")).to.equal("virtiofs\n");
    expect(await shell(daemon, id, "ls /proc/config.gz 2>&1 || true")).to.include("No such file");
    const { info } = await daemon.cri.call(runtime.status, { verbose: true });
    expect(info["imageLayers"])
      .to.match(/"shared"/)
      .and.to.match(/mounts no file as EROFS/);
    await removeContainer(daemon, id);
  });

  it("refuses AppArmor profiles, which it can't apply: the error and Status say so, and why", async () => {
    const apparmor = { profileType: SecurityProfile_ProfileType.RuntimeDefault };
    const creating = createContainer(daemon, pod, { linux: { securityContext: { apparmor } } });
    await failure(
      creating,
      status.FAILED_PRECONDITION,
      /"a3s-box-default": the guest's kernel \S+ has no AppArmor.*unset/,
    );
    const { info } = await daemon.cri.call(runtime.status, { verbose: true });
    expect(info["apparmor"]).to.match(/"refused"/);
  });

  it("has volumes, both ways, and programs' output and ends", async () => {
    const volume = join(directory, "volume");
    await mkdir(volume);
    const mounts = [{ hostPath: volume, containerPath: "/volume" }];
    const id = await startContainer(daemon, pod, { mounts });
    await shell(daemon, id, "echo of the Box > /volume/theirs");
    expect(await readFile(join(volume, "theirs"), "utf8")).to.equal("of the Box\n");
    await writeFile(join(volume, "ours"), "of the host\n");
    expect(await shell(daemon, id, "cat /volume/ours")).to.equal("of the host\n");
    expect((await exec(daemon, id, ["sh", "-c", "exit 3"])).exitCode).to.equal(3);
    const writer = await startContainer(daemon, pod, { command: ["sh", "-c", "echo a line; exit 4"] });
    const ended = await exited(daemon, writer);
    expect(ended.exitCode).to.equal(4);
    expect(await readFile(ended.logPath, "utf8")).to.match(/^\S+ stdout F a line\n$/);
  });
});
