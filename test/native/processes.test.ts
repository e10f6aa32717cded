import { expect } from "chai";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readFile, readdir, readlink, rm, rmdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { eventually } from "../support/wait.js";
import { addonFile } from "../support/native-builds.js";
import { Scratch, failure, native, run, shell } from "./scratch.js";

/** What the command wrote to its standard output. */
async function outputOf(command: string, options: Parameters<typeof shell>[1] = {}): Promise<string> {
  await using scratch = await Scratch.make();
  await using file = await open(scratch.in("out"), "w+");
  const exit = await run(shell(command, { stdio: [null, file.fd, 2], ...options }));
  expect(exit).to.deep.equal({ code: 0, signal: null });
  return await readFile(scratch.in("out"), "utf8");
}

async function cgroup2Mount(): Promise<string> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  const path = lines.find((line) => line.includes(" - cgroup2 "))?.split(" ")[4];
  if (path === undefined) throw new Error("no cgroup2 mount on this machine");
  return path;
}

describe("spawn", () => {
  it("reports the exit code and the signal", async () => {
    expect(await run(shell("exit 7"))).to.deep.equal({ code: 7, signal: null });
    expect(await run(shell("kill -9 $$"))).to.deep.equal({ code: null, signal: 9 });
  });

  it("ends a program with this process where it is told to", async () => {
    const program = join(import.meta.dirname, "die-with-parent.ts");
    const parent = spawn(process.execPath, ["--import=tsx", program], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(parent, "close");
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    const isThere = async (): Promise<boolean> =>
      !/^State:\s[ZX]/m.test(await readFile(`/proc/${pid}/status`, "utf8").catch(() => "State:\tX"));
    expect(await isThere()).to.equal(true);
    parent.kill("SIGKILL");
    await ended;
    await eventually("the program's end", 10_000, async () => !(await isThere()) || undefined);
  });

  it("says which step failed, and leaves no process", async () => {
    const children = async () => (await readFile(`/proc/self/task/${process.pid}/children`, "utf8")).split(" ").length;
    const before = await children();
    expect(await failure(() => native.spawn(shell("", { file: "/none" })))).to.include({
      code: "ENOENT",
      errno: -2,
      syscall: "execve",
      path: "/none",
      message: "ENOENT: execve /none: No such file or directory",
    });
    expect(await failure(() => native.spawn(shell("", { cwd: "/none" })))).to.include({ syscall: "chdir" });
    expect(await failure(() => native.spawn(shell("", { netns: "/none" })))).to.include({ path: "/none" });
    expect(await failure(() => native.spawn(shell("", { netns: "/etc/passwd" })))).to.include({ syscall: "setns" });
    expect(await failure(() => native.spawn(shell("", { stdio: [null, 9999, null] })))).to.include({ code: "EBADF" });
    expect(await children()).to.equal(before);
  });

  it("gives a session of its own, default signals, exactly the descriptors and the environment it was told", async () => {
    const stat = (await outputOf("cat /proc/$$/stat; cat /proc/self/status; ls /proc/$$/fd; env")).split("\n");
    const fields = stat[0]?.split(" ") ?? [];
    expect(fields[5]).to.equal(fields[0]);
    expect(stat).to.include("SigIgn:\t0000000000000000");
    expect(stat).to.include("SigBlk:\t0000000000000000");
    const rest = stat.slice(stat.findIndex((line) => line === "0"));
    expect(rest.slice(0, 3)).to.deep.equal(["0", "1", "2"]);
    expect(rest.join(" ")).to.not.match(/^.* 3 /);
    expect(rest.filter((line) => line.includes("=")).map((line) => line.split("=")[0])).to.have.members([
      "PATH",
      "PWD",
    ]);
  });

  it("keeps descriptors apart whose old and new numbers overlap", async () => {
    await using scratch = await Scratch.make();
    const files = [];
    for (const name of ["a", "b", "c"]) files.push(await open(scratch.in(name), "w"));
    const [a, b, c] = files.map((file) => file.fd);
    if (a === undefined || b === undefined || c === undefined) throw new Error("no files");
    // Numbers 3.. of the child are in use in this process for something else.
    const stdio = [null, 2, 2, c, a, b, null, a];
    expect(await run(shell("echo c >&3; echo a >&4; echo b >&5; echo more >&7", { stdio }))).to.include({ code: 0 });
    for (const file of files) await file.close();
    expect(await readFile(scratch.in("a"), "utf8")).to.equal("a\nmore\n");
    expect(await readFile(scratch.in("b"), "utf8")).to.equal("b\n");
    expect(await readFile(scratch.in("c"), "utf8")).to.equal("c\n");
  });

  it("enters new namespaces, and a cgroup, before it executes", async () => {
    const cgroup = await mkdtemp(join(await cgroup2Mount(), "a3s-test-"));
    try {
      const options = { newMountNamespace: true, newIpcAndUts: true, newPidNamespace: true };
      const links = "for n in mnt ipc uts; do readlink /proc/self/ns/$n; done; readlink /proc/self/ns/net";
      const text = await outputOf(`echo $$; ${links}; grep ^0: /proc/self/cgroup`, {
        ...options,
        cgroupProcs: [join(cgroup, "cgroup.procs")],
      });
      const lines = text.trim().split("\n");
      expect(lines[0]).to.equal("1");
      for (const [i, name] of ["mnt", "ipc", "uts"].entries()) {
        expect(lines[i + 1]).to.not.equal(await readlink(`/proc/self/ns/${name}`));
      }
      expect(lines[4]).to.equal(await readlink("/proc/self/ns/net"));
      expect(lines[5]).to.match(/a3s-test-/);
    } finally {
      await rmdir(cgroup);
    }
  });

  it("sets the limit of open files and the OOM score, as far as it may", async () => {
    const command = "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj";
    const [soft, hard, score] = (await outputOf(command, { maxOpenFiles: 512, oomScoreAdj: 700 })).split("\n");
    expect([soft, hard, score]).to.deep.equal(["512", "512", "700"]);
    const huge = (await outputOf(command, { maxOpenFiles: 4_000_000_000, oomScoreAdj: -1000 })).split("\n");
    expect(Number(huge[0])).to.be.at.least(512);
    expect(huge[0]).to.equal(huge[1]);
  });
});

describe("process descriptors", () => {
  it("adopt a process by pid and start time, and only that", async () => {
    const started = await native.spawn(shell("exec sleep 60"));
    expect(await native.adoptProcess(started.pid, started.startTime + 1n)).to.equal(null);
    const adopted = await native.adoptProcess(started.pid, started.startTime);
    if (adopted === null) throw new Error("not adopted");
    const watch = native.watchExit(adopted);
    await native.closeFd(adopted);
    expect(await native.signalProcess(started.pidfd, 15)).to.equal(true);
    const alive = setInterval(() => undefined, 1000);
    expect(await watch.exited).to.deep.equal({ code: null, signal: 15 });
    clearInterval(alive);
    expect(await native.signalProcess(started.pidfd, 15)).to.equal(false);
    expect(await native.adoptProcess(started.pid, started.startTime)).to.equal(null);
    await native.closeFd(started.pidfd);
  });

  it("tell of the end of a process that is not our child, without a status", async () => {
    // The grandchild outlives its parent and becomes somebody else's.
    const text = await outputOf("sleep 60 >/dev/null & echo $!");
    const pid = Number(text);
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const startTime = BigInt(stat.slice(stat.lastIndexOf(")")).split(" ")[20] ?? "0");
    const pidfd = await native.adoptProcess(pid, startTime);
    if (pidfd === null) throw new Error("not adopted");
    const watch = native.watchExit(pidfd);
    await native.signalProcess(pidfd, 9);
    const alive = setInterval(() => undefined, 1000);
    expect(await watch.exited).to.deep.equal({ code: null, signal: null });
    clearInterval(alive);
    await native.closeFd(pidfd);
  });

  it("stop watching when told, twice if need be", async () => {
    const started = await native.spawn(shell("exec sleep 60"));
    const watch = native.watchExit(started.pidfd);
    watch.close();
    watch.close();
    await native.signalProcess(started.pidfd, 9);
    // The second watch reaps; had the first one gone on, it would have been first.
    const alive = setInterval(() => undefined, 1000);
    const first = Promise.race([watch.exited, native.watchExit(started.pidfd).exited.then(() => "second")]);
    expect(await first).to.equal("second");
    clearInterval(alive);
    await native.closeFd(started.pidfd);
  });

  it("let a worker thread end that still watches a process", async () => {
    const started = await native.spawn(shell("exec sleep 60"));
    const code = `
      const { parentPort, workerData } = require("node:worker_threads");
      const addon = require(workerData.path);
      addon.watchExit(workerData.pidfd);
      addon.lockDirectory("/").then(() => parentPort.postMessage("watching"));`;
    const worker = new Worker(code, {
      eval: true,
      execArgv: [],
      workerData: { path: addonFile, pidfd: started.pidfd },
    });
    const exited = new Promise((resolve) => worker.once("exit", resolve));
    expect(await exited).to.equal(0);
    await native.signalProcess(started.pidfd, 9);
    const alive = setInterval(() => undefined, 1000);
    expect(await native.watchExit(started.pidfd).exited).to.include({ signal: 9 });
    clearInterval(alive);
    await native.closeFd(started.pidfd);
  });
});

describe("network namespaces of the addon", () => {
  it("have their loopback up, hold no process, and go when removed", async () => {
    await using scratch = await Scratch.make();
    const path = scratch.in("ns");
    const own = await readlink("/proc/thread-self/ns/net");
    await native.createNetns(path);
    expect(await readlink("/proc/thread-self/ns/net")).to.equal(own);
    const text = await outputOf("readlink /proc/self/ns/net; cat /proc/net/dev | wc -l; ip -br link show lo", {
      netns: path,
    });
    expect(text.split("\n")[0]).to.not.equal(own);
    expect(text).to.match(/lo +UNKNOWN.*LOWER_UP/);
    expect(await failure(() => native.createNetns(path))).to.include({ code: "EEXIST", path });
    await native.removeNetns(path);
    await native.removeNetns(path);
    expect(await readdir(scratch.path)).to.deep.equal([]);
  });

  it("leave nothing when the place for it is missing or a link", async () => {
    await using scratch = await Scratch.make();
    expect(await failure(() => native.createNetns(scratch.in("none/ns")))).to.include({ code: "ENOENT" });
    await symlink("elsewhere", scratch.in("link"));
    expect(await failure(() => native.createNetns(scratch.in("link")))).to.include({ code: "EEXIST" });
    await rm(scratch.in("link"));
    expect(await readdir(scratch.path)).to.deep.equal([]);
  });
});

describe("directory locks", () => {
  it("keep others out until closed", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("root"));
    const lock = await native.lockDirectory(scratch.in("root"));
    expect(await failure(() => native.lockDirectory(scratch.in("root")))).to.include({ code: "EWOULDBLOCK" });
    lock.close();
    lock.close();
    (await native.lockDirectory(scratch.in("root"))).close();
  });
});
