import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import type { Daemon } from "../support/daemon.js";
import { containerStatus, exec, removeContainer, runPod, shell, startContainer, type Pod } from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { eventually } from "../support/wait.js";

describe("Volume mounts", () => {
  let daemon: Daemon;
  let pod: Pod;
  let folder: string;
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon);
      return pod;
    },
  );
  before(async () => {
    daemon = await sharedDaemon();
    folder = await mkdtemp(join(daemon.logs, "volumes-"));
  });
  after(async () => {
    await rm(folder, { recursive: true });
  });

  it("show a folder of the host at its path, and what is written there is on the host", async () => {
    const source = join(folder, "rw");
    await mkdir(source);
    await writeFile(join(source, "from-host"), "host\n");
    const id = await startContainer(daemon, pod, { mounts: [{ hostPath: source, containerPath: "/data" }] });
    expect(await shell(daemon, id, "cat /data/from-host; echo guest >/data/from-guest")).to.equal("host\n");
    expect(await readFile(join(source, "from-guest"), "utf8")).to.equal("guest\n");
    await removeContainer(daemon, id);
    expect(await readFile(join(source, "from-host"), "utf8")).to.equal("host\n");
  });

  it("follow a symbolic link on the host", async () => {
    const target = join(folder, "target");
    await mkdir(target);
    await writeFile(join(target, "file"), "linked\n");
    await symlink("target", join(folder, "link"));
    const id = await startContainer(daemon, pod, {
      mounts: [{ hostPath: join(folder, "link"), containerPath: "/data" }],
    });
    expect(await shell(daemon, id, "cat /data/file")).to.equal("linked\n");
    await removeContainer(daemon, id);
  });

  it("can't be written to when read-only, by root neither", async () => {
    const source = join(folder, "ro");
    await mkdir(source);
    await writeFile(join(source, "file"), "kept\n");
    const mounts = [{ hostPath: source, containerPath: "/data", readonly: true }];
    const id = await startContainer(daemon, pod, { mounts });
    expect(await shell(daemon, id, "cat /data/file")).to.equal("kept\n");
    for (const line of ["touch /data/new", "echo x >/data/file", "rm /data/file"]) {
      const done = await exec(daemon, id, ["sh", "-c", line]);
      expect(done.exitCode, line).to.not.equal(0);
      expect(done.stderr, line).to.match(/Read-only file system/);
    }
    expect(await readFile(join(source, "file"), "utf8")).to.equal("kept\n");
    await removeContainer(daemon, id);
  });

  it("show a single file, read-only and writable", async () => {
    const file = join(folder, "single");
    await writeFile(file, "one\n");
    const mounts = [
      { hostPath: file, containerPath: "/etc/single" },
      { hostPath: file, containerPath: "/etc/single-ro", readonly: true },
    ];
    const id = await startContainer(daemon, pod, { mounts });
    await shell(daemon, id, "echo two >>/etc/single");
    // two shares of one file: the guest keeps a file's size for a second
    await eventually("the line is seen through the other mount", 5_000, async () =>
      (await shell(daemon, id, "cat /etc/single-ro")) === "one\ntwo\n" ? true : undefined,
    );
    expect((await exec(daemon, id, ["sh", "-c", "echo three >/etc/single-ro"])).stderr).to.match(/Read-only/);
    expect(await readFile(file, "utf8")).to.equal("one\ntwo\n");
    await removeContainer(daemon, id);
  });

  it("nest in the order of their depth, whatever the order of the request", async () => {
    const [outer, inner] = [join(folder, "outer"), join(folder, "inner")];
    await mkdir(join(outer, "sub"), { recursive: true });
    await mkdir(inner);
    await writeFile(join(inner, "deep"), "deep\n");
    const mounts = [
      { hostPath: inner, containerPath: "/data/sub" },
      { hostPath: outer, containerPath: "/data" },
    ];
    const id = await startContainer(daemon, pod, { mounts });
    expect(await shell(daemon, id, "cat /data/sub/deep; ls /data")).to.equal("deep\nsub\n");
    await removeContainer(daemon, id);
  });

  it("are shared between the containers of a pod, and seen alike", async () => {
    const source = join(folder, "shared");
    await mkdir(source);
    const mounts = [{ hostPath: source, containerPath: "/data" }];
    const [one, two] = await Promise.all([
      startContainer(daemon, pod, { mounts }),
      startContainer(daemon, pod, { mounts }),
    ]);
    await shell(daemon, one, "echo hello >/data/file");
    expect(await shell(daemon, two, "cat /data/file")).to.equal("hello\n");
    await Promise.all([removeContainer(daemon, one), removeContainer(daemon, two)]);
  });

  it("are echoed in ContainerStatus as they were given, and nothing with them", async () => {
    const source = join(folder, "echo");
    await mkdir(source);
    await symlink("echo", join(folder, "echo-link"));
    const mounts = [{ hostPath: join(folder, "echo-link"), containerPath: "/data", readonly: true }];
    const id = await startContainer(daemon, pod, { mounts });
    const found = (await containerStatus(daemon, id)).mounts;
    expect(found.map(({ hostPath, containerPath, readonly }) => ({ hostPath, containerPath, readonly }))).to.deep.equal(
      mounts,
    );
    await removeContainer(daemon, id);
  });

  it("replace the files that the runtime would have put there", async () => {
    const hosts = join(folder, "hosts");
    await writeFile(hosts, "127.0.0.9 given\n");
    const id = await startContainer(daemon, pod, { mounts: [{ hostPath: hosts, containerPath: "/etc/hosts" }] });
    expect(await shell(daemon, id, "cat /etc/hosts")).to.equal("127.0.0.9 given\n");
    await removeContainer(daemon, id);
  });

  it("let no set-uid program or device of a volume work on the host", async () => {
    const id = await startContainer(daemon, pod, { mounts: [{ hostPath: folder, containerPath: "/data" }] });
    const mounts = (await readFile("/proc/self/mountinfo", "utf8"))
      .split("\n")
      .filter((line) => line.includes(daemon.state));
    const inShare = mounts.filter((line) => /\/(c|v)\/[^/ ]+/.test(line.split(" ")[4] ?? ""));
    expect(inShare.length, "mounts of the share").to.be.greaterThan(0);
    for (const line of inShare)
      expect(line.split(" ")[5], line)
        .to.match(/nosuid/)
        .and.to.match(/nodev/);
    await removeContainer(daemon, id);
  });
});
