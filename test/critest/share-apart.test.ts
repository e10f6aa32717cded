/** The share of a Box is mounted where its file server is, and nowhere else: the host never notices it (docs/adr/0092). */
import { mkdir, mkdtemp, readFile, readdir, readlink, rename, rmdir, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect } from "chai";
import { MountPropagation, PodSandboxState } from "../../src/gen/runtime/v1/api.js";
import { loadNative, type Native } from "../../src/native/addon.js";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { expectSameMachine } from "../support/machine.js";
import { podStatus, removeContainer, removePod, runPod, shell, startContainer, type Pod } from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { shareMountinfo } from "../support/share-mountinfo.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

const { PROPAGATION_HOST_TO_CONTAINER: fromHost, PROPAGATION_PRIVATE: alone } = MountPropagation;
const seenMs = 40_000;

describe("The share of a Box", function () {
  this.timeout(limit(180_000));
  let daemon: Daemon;
  let native: Native;
  const undo = new Undo();
  before(async function () {
    if (process.env["A3S_TEST_HANDLER"] === "native") skipBecause(this, "pods of the host have theirs on the host");
    ({ native } = loadNative(process.env["A3S_TEST_ASSETS"] ?? join(projectDirectory, "build/assets")));
    daemon = await Daemon.start({ images: [await busybox()] });
    undo.add(() => daemon.remove());
  });
  after(async () => {
    await undo.run();
  });

  /** A mount of the host with a file in it. */
  const mountAt = async (target: string, content: string): Promise<void> => {
    await mkdir(target, { recursive: true });
    await native.mountTmpfs(target, 1 << 20, 0o755);
    undo.add(() => native.unmount(target, true));
    await writeFile(join(target, "file"), content);
  };
  const hostMounts = async (): Promise<string[]> =>
    (await readFile("/proc/self/mountinfo", "utf8")).split("\n").map((line) => line.split(" ")[4] ?? "");
  const volumeOf = (hostPath: string, propagation: MountPropagation): { mounts: object[] } => ({
    mounts: [{ hostPath, containerPath: "/data", propagation }],
  });

  it("is no mount of the host's, and keeps none of the host's from being unmounted, nor its directory from going", async () => {
    const directory = await mkdtemp(join(daemon.base, "volumes-"));
    const pod = await runPod(daemon);
    for (const [name, propagation] of [
      ["alone", alone],
      ["follows", fromHost],
    ] as const) {
      const source = join(directory, name);
      const inner = join(source, "inner");
      await mountAt(inner, "inner\n");
      const id = await startContainer(daemon, pod, volumeOf(source, propagation));
      expect(await shell(daemon, id, "cat /data/inner/file")).to.equal("inner\n");
      await native.unmount(inner, false);
      await rmdir(inner);
      expect(await readdir(source)).to.deep.equal([]);
      await eventually("the container sees it go", seenMs, async () =>
        (await shell(daemon, id, "ls /data")) === "" ? true : undefined,
      );
      expect(await shareMountinfo(daemon, pod)).to.have.length.greaterThan(1);
      const share = join(daemon.state, "boxes", pod.id.slice(0, 24), "share");
      expect((await hostMounts()).filter((target) => target.startsWith(share))).to.deep.equal([]);
      await removeContainer(daemon, id);
    }
    await shell(daemon, await startContainer(daemon, pod), "true"); // the guest has outlived it
    await removePod(daemon, pod);
  });

  it("is found again by a daemon in another container, which makes, stops and removes pods' containers as the first did", async () => {
    const atStart = await daemon.machine();
    const directory = await mkdtemp(join(daemon.base, "volumes-"));
    const [plain, followed, config] = ["plain", "followed", "config"].map((name) => join(directory, name));
    if (plain === undefined || followed === undefined || config === undefined) throw new Error("no directories");
    await mountAt(join(plain, "inner"), "inner\n");
    await mkdir(followed);
    await writeProjected(config, "one\n");
    const mounts = [
      { hostPath: plain, containerPath: "/plain" },
      { hostPath: followed, containerPath: "/followed", propagation: fromHost },
      { hostPath: config, containerPath: "/config", readonly: true },
    ];
    const pod = await runPod(daemon);
    const first = await startContainer(daemon, pod, { command: counting, mounts });
    await daemon.stop("SIGKILL");
    await daemon.launch("elsewhere");
    const inContainer = (line: string): string => daemon.inMounts("sh", "-c", line);
    expect(inContainer("readlink /proc/self/ns/mnt").trim()).to.not.equal(await readlink("/proc/self/ns/mnt"));
    expect((await podStatus(daemon, pod.id)).state).to.equal(PodSandboxState.SANDBOX_READY);

    const second = await startContainer(daemon, pod, { mounts });
    for (const id of [first, second]) {
      expect(await shell(daemon, id, "cat /plain/inner/file; cat /config/key")).to.equal("inner\none\n");
    }
    // One file for both: what the earlier daemon has shared is found and used.
    await shell(daemon, first, "echo shared >/plain/made");
    const numbers = await Promise.all([first, second].map((id) => shell(daemon, id, "stat -c '%d %i' /plain/made")));
    expect(numbers[0]).to.equal(numbers[1]);

    await writeProjected(config, "two\n");
    await eventually("the copies change", seenMs, async () => {
      const seen = await Promise.all([first, second].map((id) => shell(daemon, id, "cat /config/key")));
      return seen.join("") === "two\ntwo\n" ? true : undefined;
    });

    inContainer(`mkdir ${followed}/late && mount -t tmpfs none ${followed}/late && echo late >${followed}/late/file`);
    const late = async (): Promise<string> => {
      const line = "cat /followed/late/file 2>/dev/null || true";
      return (await Promise.all([first, second].map((id) => shell(daemon, id, line)))).join("");
    };
    await eventually("a later mount comes", seenMs, async () => ((await late()) === "late\nlate\n" ? true : undefined));
    inContainer(`umount ${followed}/late && rmdir ${followed}/late`);
    await eventually("it goes", seenMs, async () => ((await late()) === "" ? true : undefined));
    const checked = await daemon.command("check", "--running", "--json");
    expect(checked.stdout).to.not.include("is not mounted at");

    await removeContainer(daemon, first);
    await removeContainer(daemon, second);
    expect(await shareMountinfo(daemon, pod)).to.deep.equal([]);
    await removePod(daemon, pod);
    await native.unmount(join(plain, "inner"), false);
    await daemon.stop();
    await daemon.launch();
    await native.removeTree(directory);
    await expectSameMachine(daemon.scope, atStart);
  });

  it("is gone with its file server, and nothing of it is left for the daemon that comes after both", async () => {
    const atStart = await daemon.machine();
    const directory = await mkdtemp(join(daemon.base, "volumes-"));
    await mountAt(join(directory, "inner"), "");
    const pod = await runPod(daemon);
    await startContainer(daemon, pod, volumeOf(directory, alone));
    await daemon.stop("SIGKILL");
    for (const pid of await processesOf(daemon, pod)) process.kill(pid, "SIGKILL");
    await eventually("nothing of the Box holds the host's mount", seenMs, async () => {
      await native.unmount(join(directory, "inner"), false);
      return true;
    });
    await daemon.launch();
    await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: pod.id });
    await removePod(daemon, pod);
    await native.removeTree(directory);
    await expectSameMachine(daemon.scope, atStart, 15_000);
  });
});

/** Its log goes on whoever serves. */
const counting = ["sh", "-c", "i=0; while :; do echo line $i; i=$((i+1)); sleep 1; done"];

async function processesOf(daemon: Daemon, pod: Pod): Promise<number[]> {
  const path = join(daemon.state, "boxes", pod.id.slice(0, 24), "box.json");
  const record: unknown = JSON.parse(await readFile(path, "utf8"));
  return (record as { processes: { pid: number }[] }).processes.map(({ pid }) => pid);
}

/** As kubelet writes a ConfigMap, which a Box has a copy of. */
async function writeProjected(directory: string, content: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const next = await mkdtemp(`${directory}/..v`);
  await writeFile(join(next, "key"), content);
  await symlink(basename(next), join(directory, "..next"));
  await rename(join(directory, "..next"), join(directory, "..data"));
  await symlink("..data/key", join(directory, "key")).catch(() => undefined);
}
