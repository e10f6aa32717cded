/**
 * A daemon in a container that ends, and the next one in another: as a DaemonSet's pods come and go, without a cluster. What is in
 * the container's groups is killed, as a container's runtime does it, and its mounts go with its mount namespace. Where cgroup
 * version 2 is mounted with nsdelegate, as systemd has it, the daemon has to join the node's cgroup namespace first.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { cgroupHierarchies, makeGroup, type CgroupHierarchy } from "../../src/base/cgroups.js";
import { readMountinfo } from "../../src/base/mountinfo.js";
import { namesIn } from "../../src/base/names-in.js";
import { command } from "../support/daemon.js";
import { untilEmptied } from "../support/deploy/until-emptied.js";
import { busybox, busyboxImage, writeArchive } from "../support/images.js";
import { projectDirectory } from "../support/project.js";
import { Undo } from "../support/undo.js";
import { eventually, limit } from "../support/wait.js";

const boundMib = 8_192;
const unservedMs = Math.min(limit(20_000), 60_000);
const counting = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.5; done";
const bootId = ["cat", "/proc/sys/kernel/random/boot_id"];
/** Its number is the daemon's: unshare(1) and the daemon's own start follow by exec. */
const enter = 'for procs in $A3S_GROUPS; do echo $$ >"$procs" || exit 9; done; exec unshare --mount --cgroup "$@"';

interface Container {
  readonly daemon: ChildProcess;
  readonly groups: readonly string[];
}

describe("sandboxes whose daemon's container ends", function () {
  this.timeout(limit(180_000));
  const undo = new Undo();
  let directory: string;
  let hierarchies: readonly CgroupHierarchy[];
  let container: Container;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-o"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    hierarchies = cgroupHierarchies(await readMountinfo(), true);
    undo.add(unbound);
    undo.add(nothingLeft); // Boxes are in no group of the containers', also where a test has failed
    for (const name of ["root", "state"]) await mkdir(join(directory, name));
    const config = [
      `root = "${join(directory, "root")}"`,
      `state = "${join(directory, "state")}"`,
      ...[`driver = "${process.env["A3S_TEST_DRIVER"] ?? "qemu"}"`, 'network = "loopback"', ""],
      ...[
        "[cri]",
        "enabled = false",
        "",
        "[cgroup]",
        "outlive_container = true",
        `memory_mib = ${String(boundMib)}`,
        "",
      ],
      ...["[sandboxes]", `listen = ["${endpoint()}"]`, 'unix_callers = "anyone"', 'pull = "never"', "vcpus = 1"],
      ...["memory_mib = 256", "life_ms = 3600000", `unserved_ms = ${String(unservedMs)}`, ""],
      ...["[templates.base]", `image = "${busyboxImage}"`, ""],
    ];
    await writeFile(join(directory, "config.toml"), config.join("\n"));
    await writeArchive(join(directory, "base.tar"), [await busybox()]);
    await says("image", "import", "--config", join(directory, "config.toml"), join(directory, "base.tar"));
    container = await start("one");
    await says("run", "--endpoint", endpoint(), "-d", "--name", "work", "base", "sh", "-c", counting);
  });
  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    for (const name of await namesIn(directory)) {
      if (name.endsWith(".log"))
        process.stderr.write(`--- ${name}\n${await readFile(join(directory, name), "utf8")}\n`);
    }
  });
  after(async function () {
    this.timeout(limit(180_000));
    await undo.run();
  });

  const endpoint = (): string => `unix://${directory}/sandboxes.sock`;
  const inBox = (...words: readonly string[]): Promise<string> =>
    says("exec", "--endpoint", endpoint(), "work", ...words);
  const linesOf = async (least: number): Promise<number> =>
    await eventually(`${String(least)} lines`, 60_000, async () => {
      const lines = (await says("logs", "--endpoint", endpoint(), "work")).trim().split("\n");
      expect(lines).to.deep.equal(lines.map((_, at) => String(at + 1)));
      return lines.length >= least ? lines.length : undefined;
    });

  async function says(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await command(args);
    expect(status, stderr + stdout).to.equal(0);
    return stdout;
  }

  /** A container as far as the daemon sees it: groups, a cgroup and a mount namespace of its own, the node's PIDs and files. */
  async function start(name: string): Promise<Container> {
    const path = `/a3s-test-${String(process.pid)}/${name}`;
    for (const hierarchy of hierarchies) await makeGroup(hierarchy, path);
    const groups = hierarchies.map(({ mountPoint }) => join(mountPoint, path));
    const serve = [process.execPath, join(projectDirectory, "dist/main.js"), "serve"];
    const words = [...serve, "--config", join(directory, "config.toml")];
    const procs = groups.map((group) => join(group, "cgroup.procs")).join(" ");
    await using log = await open(join(directory, `${name}.log`), "w");
    const daemon = spawn("sh", ["-c", enter, "sh", ...words], {
      stdio: ["ignore", log.fd, log.fd],
      env: { ...process.env, A3S_GROUPS: procs },
    });
    const made = { daemon, groups };
    undo.add(() => end(made));
    await eventually(`the daemon in container ${name} serves`, 60_000, async () => {
      if (daemon.exitCode !== null) throw new Error(await readFile(join(directory, `${name}.log`), "utf8"));
      return await says("ps", "--endpoint", endpoint(), "-q");
    });
    return made;
  }

  /** As runc does: whatever is in the groups, then these. */
  async function end({ groups }: Container): Promise<void> {
    await eventually("the container's groups are empty", 30_000, async () => {
      const members = await Promise.all(groups.map(membersOf));
      for (const pid of new Set(members.flat())) killProcess(pid);
      return members.flat().length === 0 ? true : undefined;
    });
    for (const group of groups) await rmdir(group).catch(() => undefined);
    for (const group of groups) await rmdir(join(group, "..")).catch(() => undefined);
  }

  const nothingLeft = (): Promise<void> => untilEmptied(directory, ["root", "state"], unservedMs);

  /** Where others have Boxes in the group it stays. */
  async function unbound(): Promise<void> {
    for (const { mountPoint } of hierarchies) {
      await writeFile(join(mountPoint, "a3s-box/memory.limit_in_bytes"), "-1", { flag: "r+" }).catch(() => undefined);
      await writeFile(join(mountPoint, "a3s-box/memory.max"), "max", { flag: "r+" }).catch(() => undefined);
    }
  }

  it("go on when everything in the container's groups is killed; the daemon of the next one has them, and their output", async () => {
    const [boot, lines] = [await inBox(...bootId), await linesOf(3)];
    await end(container);
    container = await start("two");
    expect(await inBox(...bootId)).to.equal(boot);
    expect(await linesOf(lines + 3)).to.be.greaterThan(lines);
  });

  it("take new programs, whose names are the pod's, and a new sandbox beside them", async () => {
    expect(await inBox("cat", "/etc/hosts")).to.contain("localhost");
    const said = await says("run", "--endpoint", endpoint(), "--rm", "base", "echo", "made");
    expect(said).to.equal("made\n");
  });

  it("are bounded together, in a group that is none of the container's", async () => {
    const files = hierarchies.flatMap(({ mountPoint }) => [
      join(mountPoint, "a3s-box/memory.limit_in_bytes"),
      join(mountPoint, "a3s-box/memory.max"),
    ]);
    const bounds = await Promise.all(files.filter((file) => existsSync(file)).map((file) => readFile(file, "utf8")));
    expect(bounds).to.deep.equal([`${String(boundMib * 1024 * 1024)}\n`]);
  });

  it("live on when the daemon is told to stop and another one comes in time", async () => {
    const boot = await inBox(...bootId);
    await stopped(container);
    container = await start("three");
    expect(await inBox(...bootId)).to.equal(boot);
    await new Promise((resolve) => setTimeout(resolve, unservedMs + 2_000));
    expect(await inBox(...bootId), "what had waited has left them alone").to.equal(boot);
  });

  it("end when none comes in time, and nothing is left", async () => {
    await stopped(container);
    expect(await namesIn(join(directory, "root/records/sandboxes"))).to.have.length(1);
    await nothingLeft();
    expect(await readFile(join(directory, "three.log"), "utf8")).to.contain("sandboxes live on for that long");
  });

  async function stopped({ daemon, groups }: Container): Promise<void> {
    daemon.kill("SIGTERM");
    await eventually("the daemon has stopped", 60_000, () => Promise.resolve(daemon.exitCode === 0 || undefined));
    await end({ daemon, groups });
  }
});

async function membersOf(group: string): Promise<number[]> {
  const text = await readFile(join(group, "cgroup.procs"), "utf8").catch(() => "");
  return text
    .split("\n")
    .map(Number)
    .filter((pid) => pid > 0);
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}
