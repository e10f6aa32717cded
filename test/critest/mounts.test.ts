import { access, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { loadNative } from "../../src/native/addon.js";
import type { Daemon } from "../support/daemon.js";
import { containerStatus, exec, removeContainer, runPod, shell, startContainer, type Pod } from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { shareMountinfo } from "../support/share-mountinfo.js";
import { limit } from "../support/wait.js";

describe("Volume mounts", () => {
  let daemon: Daemon;
  let pod: Pod;
  let directory: string;
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon);
      return pod;
    },
  );
  before(async () => {
    daemon = await sharedDaemon();
    directory = await mkdtemp(join(daemon.logs, "volumes-"));
  });
  after(async () => {
    await rm(directory, { recursive: true });
  });

  it("show a directory of the host at its path, and what is written there is on the host", async () => {
    const source = join(directory, "rw");
    await mkdir(source);
    await writeFile(join(source, "from-host"), "host\n");
    const id = await startContainer(daemon, pod, { mounts: [{ hostPath: source, containerPath: "/data" }] });
    expect(await shell(daemon, id, "cat /data/from-host; echo guest >/data/from-guest")).to.equal("host\n");
    expect(await readFile(join(source, "from-guest"), "utf8")).to.equal("guest\n");
    await removeContainer(daemon, id);
    expect(await readFile(join(source, "from-host"), "utf8")).to.equal("host\n");
  });

  it("follow a symbolic link on the host", async () => {
    const target = join(directory, "target");
    await mkdir(target);
    await writeFile(join(target, "file"), "linked\n");
    await symlink("target", join(directory, "link"));
    const id = await startContainer(daemon, pod, {
      mounts: [{ hostPath: join(directory, "link"), containerPath: "/data" }],
    });
    expect(await shell(daemon, id, "cat /data/file")).to.equal("linked\n");
    await removeContainer(daemon, id);
  });

  it("can't be written to when read-only, by root neither", async () => {
    const source = join(directory, "ro");
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
    const file = join(directory, "single");
    await writeFile(file, "one\n");
    const mounts = [
      { hostPath: file, containerPath: "/etc/single" },
      { hostPath: file, containerPath: "/etc/single-ro", readonly: true },
    ];
    const id = await startContainer(daemon, pod, { mounts });
    expect(await shell(daemon, id, "echo two >>/etc/single; cat /etc/single-ro")).to.equal("one\ntwo\n");
    expect((await exec(daemon, id, ["sh", "-c", "echo three >/etc/single-ro"])).stderr).to.match(/Read-only/);
    expect(await readFile(file, "utf8")).to.equal("one\ntwo\n");
    await removeContainer(daemon, id);
  });

  it("nest in the order of their depth, whatever the order of the request", async () => {
    const [outer, inner] = [join(directory, "outer"), join(directory, "inner")];
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
    const source = join(directory, "shared");
    await mkdir(source);
    const mounts = [{ hostPath: source, containerPath: "/data" }];
    const [one, two] = await Promise.all([
      startContainer(daemon, pod, { mounts }),
      startContainer(daemon, pod, { mounts }),
    ]);
    await shell(daemon, one, "echo hello >/data/file");
    expect(await shell(daemon, two, "cat /data/file")).to.equal("hello\n");
    for (const word of ["more", "and more"]) {
      await shell(daemon, one, `echo ${word} >>/data/file`);
      expect((await shell(daemon, two, "cat /data/file")).endsWith(`\n${word}\n`)).to.equal(true);
    }
    await Promise.all([removeContainer(daemon, one), removeContainer(daemon, two)]);
  });

  it("are one file to the containers of a pod, whose locks and mappings so are the same", async () => {
    const source = join(directory, "one");
    await mkdir(source);
    await writeFile(join(source, "file"), "");
    const mounts = [{ hostPath: source, containerPath: "/data" }];
    const readers = [{ hostPath: source, containerPath: "/other", readonly: true }];
    const writer = await startContainer(daemon, pod, { mounts });
    const reader = await startContainer(daemon, pod, { mounts: readers });
    const seen = await shell(daemon, writer, "stat -c '%d %i' /data/file");
    expect(await shell(daemon, reader, "stat -c '%d %i' /other/file")).to.equal(seen);
    await removeContainer(daemon, writer);
    expect(await shell(daemon, reader, "stat -c '%d %i' /other/file")).to.equal(seen);
    await removeContainer(daemon, reader);
  });

  it("have the host's mounts below them: writable below a read-only one, and not below a recursive one", async () => {
    const { native } = loadNative(process.env["A3S_TEST_ASSETS"] ?? join(projectDirectory, "build/assets"));
    const source = join(directory, "nested");
    const inner = join(source, "sub/tmpfs");
    await mkdir(inner, { recursive: true });
    await native.mountTmpfs(inner, 1 << 20, 0o755);
    try {
      const touched = async (part: { readonly recursiveReadOnly?: boolean }): Promise<string> => {
        const mounts = [{ hostPath: source, containerPath: "/data", readonly: true, ...part }];
        const id = await startContainer(daemon, pod, { mounts });
        const done = await exec(daemon, id, ["sh", "-c", "touch /data/sub/x 2>&1; touch /data/sub/tmpfs/file 2>&1"]);
        await removeContainer(daemon, id);
        return done.stdout;
      };
      const refused = (path: string): string => `touch: ${path}: Read-only file system\n`;
      expect(await touched({})).to.equal(refused("/data/sub/x"));
      await access(join(inner, "file"));
      const both = refused("/data/sub/x") + refused("/data/sub/tmpfs/file");
      expect(await touched({ recursiveReadOnly: true })).to.equal(both);
      await shell(daemon, await startContainer(daemon, pod), "true"); // the guest has outlived them
    } finally {
      await native.unmount(inner, true);
    }
  });

  it("show what the host changes while they are mounted: a new file, and the swap of a ConfigMap's link", async () => {
    const source = join(directory, "projected");
    const version = async (name: string, text: string): Promise<void> => {
      await mkdir(join(source, name), { recursive: true });
      await writeFile(join(source, name, "key"), text);
      await symlink(name, join(source, "..data_tmp"));
      await rename(join(source, "..data_tmp"), join(source, "..data"));
    };
    await version("..1", "one\n");
    await symlink("..data/key", join(source, "key"));
    const id = await startContainer(daemon, pod, {
      mounts: [{ hostPath: source, containerPath: "/config", readonly: true }],
    });
    const line =
      "while ! grep -q $0 /config/key || ! ls /config/new; do usleep 50000; done >/dev/null 2>&1; cat /proc/uptime";
    expect(await shell(daemon, id, "cat /config/key")).to.equal("one\n");
    for (const text of ["two", "three"]) {
      const waiting = exec(daemon, id, ["sh", "-c", line.replace("$0", text)]);
      await rm(join(source, "new"), { force: true });
      await version(`..${text}`, `${text}\n`);
      await writeFile(join(source, "new"), "");
      const swappedMs = performance.now();
      expect((await waiting).exitCode).to.equal(0);
      // the guest asks again after a second; the rest is for a busy machine
      expect(performance.now() - swappedMs).to.be.lessThan(limit(15_000));
    }
    await removeContainer(daemon, id);
  });

  it("are echoed in ContainerStatus as they were given, and nothing with them", async () => {
    const source = join(directory, "echo");
    await mkdir(source);
    await symlink("echo", join(directory, "echo-link"));
    const mounts = [{ hostPath: join(directory, "echo-link"), containerPath: "/data", readonly: true }];
    const id = await startContainer(daemon, pod, { mounts });
    const found = (await containerStatus(daemon, id)).mounts;
    expect(found.map(({ hostPath, containerPath, readonly }) => ({ hostPath, containerPath, readonly }))).to.deep.equal(
      mounts,
    );
    await removeContainer(daemon, id);
  });

  it("replace the files that the runtime would have put there", async () => {
    const hosts = join(directory, "hosts");
    await writeFile(hosts, "127.0.0.9 given\n");
    const id = await startContainer(daemon, pod, { mounts: [{ hostPath: hosts, containerPath: "/etc/hosts" }] });
    expect(await shell(daemon, id, "cat /etc/hosts")).to.equal("127.0.0.9 given\n");
    await removeContainer(daemon, id);
  });

  it("let no set-uid program or device of a volume work on the host", async () => {
    const id = await startContainer(daemon, pod, { mounts: [{ hostPath: directory, containerPath: "/data" }] });
    const inShare = await shareMountinfo(daemon, pod);
    expect(inShare.length, "mounts of the share").to.be.greaterThan(0);
    for (const line of inShare)
      expect(line.split(" ")[5], line)
        .to.match(/nosuid/)
        .and.to.match(/nodev/);
    await removeContainer(daemon, id);
  });
});
