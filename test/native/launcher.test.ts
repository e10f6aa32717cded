import { expect } from "chai";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chown, mkdir, open, readFile, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { movedRoot } from "../../src/vmm/box-ids.js";
import { enterArguments, jailedProgram } from "../../src/vmm/drivers/jailed-program.js";
import { ShareTrees } from "../../src/vmm/share/share-trees.js";
import { launcherProgram } from "../support/native-builds.js";
import { eventually } from "../support/wait.js";
import { Scratch, native, plain, run, shell } from "./scratch.js";

const readonly = { ...plain, readonly: true };
const alone = { ids: null, follows: false };

const program = launcherProgram;

/** The host's id of a namespace's root: nobody has it. */
const ownRoot = 0x8000_c0de;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function launcher(...args: string[]): Promise<Ended> {
  return await ended(program, ...args);
}

async function ended(file: string, ...args: string[]): Promise<Ended> {
  return await new Promise((resolve) => {
    const child = execFile(file, args, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr });
    });
  });
}

/** Everything a machine is made of, with a library that only tells what it was asked and what it sees. */
async function prepare(scratch: Scratch): Promise<Map<string, string>> {
  for (const name of ["layout", "layout/base", "base", "base/usr", "sockets"]) await mkdir(scratch.in(name));
  await writeFile(scratch.in("layout/inside"), "");
  await mkdir(scratch.in("layout/directory/inner"), { recursive: true });
  await writeFile(scratch.in("outside"), "");
  await writeFile(scratch.in("kernel"), "the kernel\n");
  const source = join(import.meta.dirname, "fake-libkrun.c");
  expect(
    await run(shell(`cc -shared -fPIC -o ${scratch.in("libkrun.so")} ${source}`, { stdio: [null, 1, 2] })),
  ).to.include({
    code: 0,
  });
  return new Map([
    ["libkrun", scratch.in("libkrun.so")],
    ["kernel", scratch.in("kernel")],
    ["cmdline", "console=hvc0 init=/a b=c"],
    ["vcpus", "2"],
    ["memory_mib", "512"],
    ["share", "3"],
    ["base", "4"],
    ["tag", "podroot"],
    ["console", scratch.in("console.log")],
    ["socket_directory", scratch.in("sockets")],
  ]);
}

async function said(out: Readable | null): Promise<string> {
  return out === null ? "" : await textOf(out);
}

async function runWith(scratch: Scratch, values: Map<string, string>, more = ""): Promise<Ended> {
  const text = [...values].map(([key, value]) => `${key}=${value}\n`).join("");
  await writeFile(scratch.in("config"), text + more);
  return await served(scratch, [program, "run", scratch.in("config")]);
}

/** With the share's mounts as 3 and 4, and what else is given after them. */
async function served(scratch: Scratch, [file = "", ...args]: string[], given: number[] = []): Promise<Ended> {
  await using trees = await ShareTrees.open(
    native,
    () => native.copyMount(scratch.in("layout"), false, readonly, alone),
    () => native.copyMount(scratch.in("base"), false, readonly, alone),
  );
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe", trees.given.share, trees.given.base, ...given] });
  const closed = once(child, "close");
  const [stdout, stderr] = await Promise.all([said(child.stdout), said(child.stderr)]);
  await closed;
  return { code: child.exitCode, stdout, stderr };
}

/** What the library saw in that directory of its jail. */
function entriesOf(stdout: string, path: string): string[] {
  const told = stdout.slice(stdout.indexOf(`== ${path}\n`)).split("== ")[1] ?? "";
  return [...told.matchAll(/^entry (.+)$/gm)].map(([, name = ""]) => name).sort();
}

/** The jail has /dev/kvm in it: there is none to build on a machine without. */
const inJail = existsSync("/dev/kvm") ? it : it.skip;

describe("the launcher", () => {
  it("judges KVM in one line and its exit status", async () => {
    const verdict = await launcher("probe");
    if (verdict.code === 0) expect(verdict.stdout).to.equal("usable\n");
    else expect(verdict).to.deep.include({ code: 1, stderr: "" });
    if (verdict.code !== 0) expect(verdict.stdout).to.match(/^unusable: .+\n$/);
  });

  inJail("asks libkrun for the machine of its config", async () => {
    await using scratch = await Scratch.make();
    const ended = await runWith(scratch, await prepare(scratch));
    expect(ended.stdout).to.include("log level 1\nmachine 7 2 512\nkernel 1 console=hvc0 init=/a b=c\n");
    expect(ended.stdout).to.include("the kernel\n");
    expect(ended.stdout).to.include("share podroot /share 0 0 0\n");
    expect(ended.stdout).to.include("port 1025 /sockets/agent.sock 1\nport 1026 /sockets/ready.sock 0\n");
    expect(await readFile(scratch.in("console.log"), "utf8")).to.equal("console\n");
    expect(ended.stderr).to.equal("a3s-box-launcher: start the machine: libkrun: Invalid argument\n");
    expect(ended.code).to.equal(111);
  });

  inJail("sees nothing of the host but the share and the sockets, and can do little with them", async () => {
    await using scratch = await Scratch.make();
    const { stdout } = await runWith(scratch, await prepare(scratch));
    expect(entriesOf(stdout, "/")).to.deep.equal(["dev", "proc", "share", "sockets"]);
    expect(entriesOf(stdout, "/share")).to.deep.equal(["base", "directory", "inside"]);
    expect(stdout).to.include("write to share 0, to sockets 1, to root 0\n");
    const points = [...stdout.matchAll(/^\d+ \d+ \d+:\d+ \S+ (\S+) (\S+)/gm)].map((match) => match[1]);
    expect(points.sort()).to.deep.equal([
      ...["/", "/dev/null", "/dev/urandom", "/proc/self/fd", "/share", "/share/base", "/sockets"],
    ]);
    expect(stdout).to.match(/ \/share ro,nosuid,nodev,noexec,/);
    expect(stdout).to.match(/ \/share\/base ro,nosuid,nodev,/);
    for (const set of ["CapPrm", "CapEff", "CapBnd"]) expect(stdout).to.include(`${set}:\t00000000800000db\n`);
    for (const set of ["CapInh", "CapAmb"]) expect(stdout).to.include(`${set}:\t0000000000000000\n`);
    expect(stdout).to.include("NoNewPrivs:\t1\n").and.to.include("Seccomp:\t2\n");
    expect(stdout).to.match(/Max core file size +0 +0 /);
  });

  inJail("leads a guest that walks out of its share to nothing of /proc but its own descriptors", async () => {
    await using scratch = await Scratch.make();
    const pattern = await readFile("/proc/sys/kernel/core_pattern", "utf8");
    const { stdout } = await runWith(scratch, await prepare(scratch));
    const tried = stdout.split("\n").filter((line) => line.startsWith("escape "));
    expect(tried).to.have.length(15);
    for (const line of tried) expect(line).to.match(/ not found: (No such file or directory|Not a directory)$/);
    expect(await readFile("/proc/sys/kernel/core_pattern", "utf8")).to.equal(pattern);
    expect(entriesOf(stdout, "/proc")).to.deep.equal(["self"]);
    expect(entriesOf(stdout, "/proc/self")).to.deep.equal(["fd"]);
  });

  inJail(
    "is in a network with nothing in it, has its pod's tap and no way to another, and makes no socket but Unix ones",
    async () => {
      await using scratch = await Scratch.make();
      const values = await prepare(scratch);
      await native.createNetns(scratch.in("pod"));
      try {
        await native.createTap(scratch.in("pod"), "tap7");
        const config = [...values, ["tap", "tap7"], ["mac", "02:00:00:00:00:01"]].map((pair) => `${pair.join("=")}\n`);
        await writeFile(scratch.in("config"), config.join(""));
        const enter = ["nsenter", `--net=${scratch.in("pod")}`, program, "run", scratch.in("config")];
        const { stdout } = await served(scratch, enter);
        expect(stdout).to.include("tap tap7 02:00:01 header 12 nonblock 1\n");
        expect([...stdout.matchAll(/^ *(\S+): +\d+ +\d+ /gm)].map(([, link]) => link)).to.deep.equal(["lo"]);
        const tried = stdout.split("\n").filter((line) => /^(tap (sends|again)|open .*tun|socket )/.test(line));
        expect(tried).to.deep.equal([
          "socket unix made",
          ...["inet", "inet6", "packet", "netlink", "vsock"].map((name) => `socket ${name} Function not implemented`),
          ...["tap sends", "tap again Function not implemented", "open /dev/net/tun No such file or directory"],
        ]);
      } finally {
        await native.removeNetns(scratch.in("pod"));
      }
    },
  );

  inJail("has KVM as a descriptor that it was given, and no way to another", async () => {
    await using scratch = await Scratch.make();
    const { stdout } = await runWith(scratch, await prepare(scratch));
    expect(stdout).to.include("kvm 12\nopen /dev/kvm No such file or directory\n");
  });

  inJail("is root of the user namespace that it is given, whom nothing of the host belongs to", async () => {
    await using scratch = await Scratch.make();
    const values = await prepare(scratch);
    await chown(scratch.in("sockets"), ownRoot, ownRoot);
    const fd = await native.openUserNamespace(movedRoot(ownRoot));
    const config = [...values, ["userns", "5"]].map((pair) => `${pair.join("=")}\n`);
    await writeFile(scratch.in("config"), config.join(""));
    const exit = await served(scratch, [program, "run", scratch.in("config")], [fd]);
    await native.closeFd(fd);
    expect(exit).to.include({ code: 111 });
    const { stdout } = exit;
    // Though it has a way to the host's /proc, and though capabilities it has.
    for (const path of ["sys/kernel/core_pattern", "sys/kernel/panic", "sys/kernel/poweroff_cmd"]) {
      expect(stdout).to.include(`outside ${path} Permission denied\n`);
    }
    expect(stdout)
      .to.include("CapEff:\t00000000800000db\n")
      .and.to.include("write to share 0, to sockets 1, to root 0\n");
    expect(await stat(scratch.in("sockets/new"))).to.include({ uid: ownRoot, gid: ownRoot });
    expect(await readFile(scratch.in("console.log"), "utf8")).to.equal("console\n");
  });

  inJail("takes the config from a descriptor", async () => {
    await using scratch = await Scratch.make();
    const values = await prepare(scratch);
    await writeFile(scratch.in("config"), [...values].map(([key, value]) => `${key}=${value}\n`).join(""));
    await using config = await open(scratch.in("config"));
    const exit = await served(scratch, [program, "run", "--config-fd", "5"], [config.fd]);
    expect(exit).to.include({ code: 111 });
    expect(exit.stdout).to.include("machine 7 2 512\n");
  });

  const refused: [name: string, change: Record<string, string | null>, code: number, message: RegExp][] = [
    ["a missing key", { vcpus: null }, 101, /config: vcpus is missing/],
    ["a number out of range", { vcpus: "0" }, 101, /config: vcpus is "0", allowed is 1 to 255/],
    ["a number with a tail", { memory_mib: "512M" }, 101, /config: memory_mib is "512M"/],
    ["a relative path", { kernel: "kernel" }, 101, /config: kernel is no absolute path: kernel/],
    ["an unknown key", { vcpu: "1" }, 101, /config: unknown key vcpu/],
    ["a tap without a MAC", { tap: "tap0" }, 101, /config: tap and mac go together/],
    ["a MAC that is none", { tap: "tap0", mac: "02:00:00:00:00:0g" }, 101, /config: mac is "02/],
    ["a command line the kernel would cut", { cmdline: "x".repeat(2048) }, 101, /config: cmdline is longer/],
    ["no libkrun", { libkrun: "/none.so" }, 102, /load libkrun: .*none\.so/],
    ["another library", { libkrun: "libc.so.6" }, 101, /libkrun is no absolute path/],
    ["no kernel", { kernel: "/none" }, 105, /kernel: \/none: No such file/],
    ["no share", { share: "900" }, 108, /jail: flags of share: Bad file descriptor/],
    ["a share that is none", { share: "0" }, 101, /config: share is "0"/],
    ["no tap of that name", { tap: "a3s-none", mac: "02:00:00:00:00:01" }, 104, /tap: a3s-none: No such device/],
  ];
  for (const [name, change, code, message] of refused) {
    it(`refuses ${name}, and says so`, async () => {
      await using scratch = await Scratch.make();
      const values = await prepare(scratch);
      for (const [key, value] of Object.entries(change)) {
        if (value === null) values.delete(key);
        else values.set(key, value);
      }
      const ended = await runWith(scratch, values);
      expect(ended.stderr).to.match(message);
      expect(ended.code).to.equal(code);
    });
  }

  it("refuses a key that is there twice, a line without a key, and wrong arguments", async () => {
    await using scratch = await Scratch.make();
    const values = await prepare(scratch);
    expect(await runWith(scratch, values, "vcpus=1\n")).to.include({ code: 101 });
    expect(await runWith(scratch, values, "nonsense\n")).to.include({ code: 101 });
    expect(await launcher("start")).to.include({ code: 100 });
    expect(await launcher("run", "--config-fd", "x")).to.include({ code: 100 });
  });

  it("takes no libkrun without our patches, which lets a guest name files of the host", async () => {
    await using scratch = await Scratch.make();
    const values = await prepare(scratch);
    const source = join(import.meta.dirname, "fake-libkrun.c");
    const other = `-Dkrun_a3s_patched=krun_unpatched -o ${scratch.in("libkrun.so")}`;
    const compiled = await run(shell(`cc -shared -fPIC ${other} ${source}`, { stdio: [null, 1, 2] }));
    expect(compiled).to.include({ code: 0 });
    const ended = await runWith(scratch, values);
    expect(ended.stderr).to.match(/load libkrun: .*libkrun\.so has no krun_a3s_patched/);
    expect(ended.code).to.equal(103);
  });

  it("does not follow a link where the console's log should be", async () => {
    await using scratch = await Scratch.make();
    const values = await prepare(scratch);
    await symlink("outside", scratch.in("console.log"));
    expect(await runWith(scratch, values)).to.include({ code: 106 });
  });
});

describe("the launcher's jail for another program", () => {
  const cat = "/bin/cat";
  const views = async (): Promise<string[]> => (await jailedProgram(cat, [], AbortSignal.timeout(10_000))).view.slice();
  const inJail = async (options: string[], ...args: string[]): Promise<Ended> => {
    const { file, view, env } = await jailedProgram(cat, [], AbortSignal.timeout(10_000));
    return await launcher(...enterArguments({ file, view, env, name: "cat", args, options }).slice(1));
  };

  /** What the host's proc says of a program that waits in its jail. */
  const lookedAt = async (options: string[], names: string[], given: number[] = []): Promise<string> => {
    const { file, view, env } = await jailedProgram(cat, [], AbortSignal.timeout(10_000));
    const args = enterArguments({ file, view, env, name: "cat", args: [], options });
    const child = spawn(program, args.slice(1), { stdio: ["pipe", "ignore", "inherit", ...given] });
    try {
      const comm = `/proc/${String(child.pid)}/comm`;
      await eventually("it runs", 10_000, async () => ((await readFile(comm, "utf8")) === "cat\n" ? true : undefined));
      return (await Promise.all(names.map((name) => readFile(`/proc/${String(child.pid)}/${name}`, "utf8")))).join("");
    } finally {
      const gone = once(child, "close");
      child.stdin?.end();
      await gone;
    }
  };

  it("shows a program what it was given, and runs it as the user", async () => {
    const said = await lookedAt(["user=1879048199"], ["status", "mountinfo"]);
    expect(said)
      .to.match(/^Uid:(\t1879048199){4}$/m)
      .and.match(/^CapBnd:\t0{16}$/m);
    const seen = (await views()).filter((view) => view.startsWith("see=")).map((view) => view.slice(4));
    const points = [...said.matchAll(/^\d+ \d+ \d+:\d+ \S+ (\S+) (\S+)/gm)].map((match) => match[1]);
    expect(points.sort()).to.deep.equal(["/", ...seen].sort());
  });

  it("makes a program root of a user namespace that it is given, who is nobody on the host", async () => {
    const root = 3_000_000_000;
    const fd = await native.openUserNamespace(movedRoot(root));
    try {
      const options = ["userns=3", "keep=1", "proc=fd", "file=/proc/self/mountinfo:none"];
      const said = await lookedAt(options, ["status", "uid_map", "gid_map"], [fd]);
      expect(said)
        .to.match(/^Uid:(\t3000000000){4}$/m)
        .and.match(/^Gid:(\t3000000000){4}$/m)
        .and.match(/^Groups:\s*$/m)
        .and.match(/^CapEff:\t0{15}2$/m)
        .and.match(/^CapBnd:\t0{15}2$/m);
      expect(said.match(/^ *0 3000000000 +1$/gm)).to.have.length(2);
      const { stdout, stderr } = await inJail(
        options.slice(2),
        "/proc/self/mountinfo",
        "/proc/self/status",
        "/proc/1/fd/0",
      );
      expect(stdout).to.equal("none");
      expect(stderr.match(/No such file/g)).to.have.length(2);
    } finally {
      await native.closeFd(fd);
    }
  });

  it("refuses a user namespace that is none", async () => {
    expect(await launcher("enter", "userns=9", "--", cat, "cat")).to.deep.include({ code: 100 });
    expect(await inJail(["userns=1"])).to.include({ code: 109 });
  });

  it("hides everything else", async () => {
    const { stderr, code } = await inJail([], "/etc/passwd", "/proc/self/status", "/dev/null");
    expect(code).to.equal(1);
    expect(stderr.match(/No such file/g)).to.have.length(3);
  });

  it("opens what the program is to have before it closes, in order", async () => {
    await using scratch = await Scratch.make();
    await writeFile(scratch.in("first"), "");
    const options = [`append=${scratch.in("first")}`, `listen=${scratch.in("socket")}`, "proc=fd"];
    const { stderr } = await inJail(options, "/proc/self/fd/3", "/proc/self/fd/4", "/proc/self/fd/5");
    // A file opened to append, which can't be read from in the jail; a socket; nothing.
    expect(stderr)
      .to.match(/fd\/4: No such device or address/)
      .and.match(/fd\/5: No such file/);
    expect(await readdir(scratch.in(""))).to.include.members(["first", "socket"]);
  });

  it("waits for a socket whose file is there and to which nobody listens yet", async () => {
    await using scratch = await Scratch.make();
    const path = scratch.in("late");
    // Node binds and listens at once.
    const script = `import socket, time
s = socket.socket(socket.AF_UNIX)
s.bind("${path}")
time.sleep(0.5)
s.listen(1)
s.accept()`;
    const listening = run(shell(`exec python3 -c '${script}'`, { stdio: [null, 1, 2] }));
    while (!existsSync(path)) await delay(5);
    expect(await inJail([`connect=${path}`], "/etc/ld.so.cache")).to.include({ code: 0 });
    expect(await listening).to.include({ code: 0 });
  });

  it("refuses options that it does not know, and a program that is not there", async () => {
    expect(await launcher("enter", "sea=/usr", "--", cat, "cat")).to.deep.include({ code: 100 });
    expect(await launcher("enter", "user=x", "--", cat, "cat")).to.deep.include({ code: 100 });
    expect(await launcher("enter", "see=usr", "--", cat, "cat")).to.deep.include({ code: 100 });
    expect(await launcher("enter", "see=/usr")).to.deep.include({ code: 100 });
    expect(await launcher("enter", "share=1", "--", cat, "cat")).to.deep.include({ code: 100 });
    expect(await launcher("enter", "see=/none", "--", cat, "cat")).to.deep.include({ code: 108 });
    expect(await launcher("enter", "--", "/none", "none")).to.deep.include({ code: 111 });
    expect(await launcher("enter", "connect=/none", "--", cat, "cat")).to.deep.include({ code: 112 });
  });
});
