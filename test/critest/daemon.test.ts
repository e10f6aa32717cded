import { connect } from "node:net";
import { cp, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { image, runtime } from "../support/cri-client.js";
import { command, Daemon } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { removePod, runPod, runToEnd } from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { eventually, limit } from "../support/wait.js";
import { fullMounts, fullPod, fullResources } from "../unit/cri/requests.js";

describe("The daemon and its command line", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-t"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it("serves several times on one machine, on roots of their own", async function () {
    this.timeout(limit(120_000)); // two daemons, two pods, one after another on a machine that is busy
    const daemons = await Promise.all([Daemon.start({ images: [await busybox()] }), Daemon.start()]);
    try {
      const [one, two] = daemons;
      const pods = await Promise.all([runPod(one), runPod(two)]);
      for (const [index, daemon] of daemons.entries()) {
        const { items } = await daemon.cri.call(runtime.listPodSandbox, {});
        expect(items.map((item) => item.id)).to.deep.equal([pods[index]?.id]);
      }
      expect((await one.cri.call(image.listImages, {})).images[0]?.repoTags).to.deep.equal([busyboxImage]);
      expect((await two.cri.call(image.listImages, {})).images).to.deep.equal([]);
      expect(await runToEnd(one, pods[0], "echo in one")).to.equal("in one\n");
      await removePod(one, pods[0]);
      expect((await two.cri.call(runtime.listPodSandbox, {})).items).to.have.length(1);
      await removePod(two, pods[1]);
    } finally {
      for (const daemon of daemons) await daemon.remove();
    }
  });

  it("does not start twice on one root, and says who has it", async () => {
    const daemon = await Daemon.start();
    try {
      const second = await command(["serve", "--root", daemon.root, "--state", join(directory, "state")]);
      expect(second.status).to.not.equal(0);
      expect(second.stderr).to.include(daemon.root);
    } finally {
      await daemon.remove();
    }
  });

  it("ends with status 0 on SIGTERM, and its socket with it", async () => {
    const daemon = await Daemon.start();
    try {
      const { socket } = daemon;
      expect(await daemon.stop()).to.equal(0);
      const refused = await new Promise((resolve) => {
        connect(socket).once("error", resolve).once("connect", resolve);
      });
      expect(refused).to.be.instanceOf(Error);
    } finally {
      await daemon.remove();
    }
  });

  it("shows pods that a daemon of before has recorded with CRI's messages, as they were asked for", async () => {
    const daemon = await Daemon.start();
    try {
      await daemon.stop();
      const old = join(projectDirectory, "test/unit/cri/records/version-1");
      const [podSandboxId, containerId] = ["a".repeat(64), "c".repeat(64)];
      await cp(join(old, "pod.json"), join(daemon.root, `records/sandboxes/${podSandboxId}.json`));
      await cp(join(old, "container.json"), join(daemon.root, `records/containers/${containerId}.json`));
      await daemon.launch();
      const { status: pod } = await daemon.cri.call(runtime.podSandboxStatus, { podSandboxId });
      expect(pod?.metadata).to.deep.equal(fullPod.metadata);
      expect(pod?.linux?.namespaces?.options).to.deep.equal(fullPod.linux?.securityContext?.namespaceOptions);
      const { status: container } = await daemon.cri.call(runtime.containerStatus, { containerId });
      expect(container?.mounts).to.deep.equal(fullMounts);
      expect(container?.resources?.linux).to.deep.equal({ ...fullResources, cpuShares: 9n });
      await eventually("what is left of them is as the records have it", 10_000, async () => {
        return (await daemon.command("check", "--running")).status === 0 ? true : undefined;
      });
    } finally {
      await daemon.remove();
    }
  });

  it("listens where it is told to", async () => {
    const socket = join(directory, "other.sock");
    const daemon = await Daemon.start({ config: `listen = "unix://${socket}"\n`, socket });
    try {
      expect((await daemon.cri.call(runtime.version, {})).version).to.equal("0.1.0");
      expect((await stat(socket)).mode & 0o777).to.equal(0o660);
    } finally {
      await daemon.remove();
    }
  });

  const wrong: [string, string, RegExp][] = [
    ["an unknown key", "colour = 1\n", /colour/],
    ["a value of the wrong kind", '[sandbox]\nvcpus = "two"\n', /sandbox\.vcpus.*two.*1 to 64/s],
    ["a value out of range", "[sandbox]\nmemory_mib = 1\n", /sandbox\.memory_mib.*1.*128/s],
    ["a driver that does not exist", 'driver = "xen"\n', /driver.*xen.*krun.*qemu/s],
    ["a relative root", 'root = "here"\n', /root.*here.*absolute/s],
    ["text that is no TOML", "= 1\n", /./],
  ];
  for (const [what, text, message] of wrong) {
    it(`does not start with ${what} in its config, and says what is allowed`, async () => {
      const file = join(directory, "config.toml");
      await writeFile(file, text);
      const flags = ["--config", file];
      const ended = await command(["serve", ...flags]);
      expect(ended.status).to.not.equal(0);
      expect(ended.stderr).to.match(message);
      expect(ended.stderr).to.not.match(/\n\s+at /);
    });
  }

  it("takes the config that it prints", async () => {
    const printed = await command(["config", "default"]);
    expect(printed.status).to.equal(0);
    const daemon = await Daemon.start({ config: printed.stdout });
    await daemon.remove();
  });

  it("imports an image, lists it, and serves it", async () => {
    const daemon = await Daemon.start({ images: [await busybox("localhost/imported:7")] });
    try {
      const { images } = await daemon.cri.call(image.listImages, {});
      expect(images[0]?.repoTags).to.deep.equal(["localhost/imported:7"]);
      await daemon.stop();
      const listed = await command(["image", "list", "--root", daemon.root, "--state", daemon.state]);
      expect(listed.stdout).to.include("localhost/imported:7");
    } finally {
      await daemon.remove();
    }
  });

  it("checks the machine: a verdict a line, and an exit status that tells", async () => {
    const checked = await command(["check"]);
    expect(checked.stdout).to.match(/kvm/i);
    expect(checked.stdout).to.match(/\bOK\b/);
    expect([0, 1]).to.include(checked.status);
  });

  it("prints its version and its help, and refuses what it does not know", async () => {
    expect((await command(["--version"])).stdout).to.match(/\d+\.\d+\.\d+/);
    expect((await command(["--help"])).stdout).to.match(/serve/);
    const unknown = await command(["no-such-command"]);
    expect(unknown.status).to.not.equal(0);
    expect(unknown.stderr).to.match(/no-such-command/);
  });
});
