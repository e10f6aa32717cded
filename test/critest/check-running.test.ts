import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, rename, rmdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { removeRecord } from "../../src/base/record-file.js";
import { cgroupHierarchies, Daemon, nativeHandler } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { boxProcesses } from "../support/machine.js";
import { runPod, startContainer } from "../support/pods.js";
import { eventually } from "../support/wait.js";

interface Line {
  readonly kind: string;
  readonly what: string;
  readonly problem: string;
}

describe("check --running", () => {
  let daemon: Daemon;
  before(async () => {
    daemon = await Daemon.start({ images: [await busybox()], config: nativeHandler });
  });
  after(async () => {
    await daemon.remove();
  });

  const troubles = async (): Promise<Line[]> => {
    const { status, stdout, stderr } = await daemon.command("check", "--running", "--json");
    expect(stderr).to.equal("");
    const lines = JSON.parse(stdout) as Line[];
    expect(status).to.equal(lines.length === 0 ? 0 : 1);
    return lines.filter(({ kind }) => kind !== "template"); // the daemon may have been making one when it was killed
  };

  it("finds nothing amiss with a pod that runs, with and without a daemon", async () => {
    for (const handler of ["", "native"]) await startContainer(daemon, await runPod(daemon, {}, handler));
    expect(await troubles()).to.deep.equal([]);
    await daemon.machine(); // a Box that it is making for nobody is amiss when it is killed
    await daemon.stop("SIGKILL");
    expect(await troubles()).to.deep.equal([]);
    await daemon.launch();
    await daemon.removePods();
    expect(await troubles()).to.deep.equal([]);
  });

  it("names each thing that no record names, and each that a record misses; the daemon's next start mends it", async () => {
    const pod = await runPod(daemon);
    const container = await startContainer(daemon, pod);
    const kept = await runPod(daemon);
    const { scope } = daemon;
    await daemon.machine();
    await daemon.stop("SIGKILL");
    const pids = (await boxProcesses(scope)).map(({ pid }) => pid);
    await removeRecord(join(daemon.root, "records", "sandboxes", `${pod.id}.json`));
    await mkdir(join(daemon.state, "sandboxes", "f".repeat(64)));

    const found = await troubles();

    const name = pod.id.slice(0, 24);
    const all = found.map(({ kind, what }) => `${kind} ${what}`);
    expect(all).to.include.members([
      `container ${container}`,
      `directory ${daemon.state}/boxes/${name}`,
      `mount ${daemon.state}/boxes/${name}/log`,
      `namespace ${daemon.state}/netns/${name}`,
      `directory sandboxes/${pod.id}`,
      `directory sandboxes/${"f".repeat(64)}`,
    ]);
    expect(all.filter((line) => line.includes(kept.id.slice(0, 24)))).to.deep.equal([]);

    // A VMM whose Box has lost its directory, too: nothing but the process itself tells of it.
    const directory = join(daemon.state, "boxes", name);
    await rename(join(directory, "box.json"), join(directory, "aside.json"));
    const strays = (await troubles()).filter(({ kind }) => kind === "process");
    expect(strays.map(({ what }) => Number(what))).to.have.length.greaterThan(0);
    expect(pids).to.include.members(strays.map(({ what }) => Number(what)));
    await rename(join(directory, "aside.json"), join(directory, "box.json"));

    await daemon.launch();
    await eventually("everything is as the records have it", 30_000, async () =>
      (await troubles()).length === 0 ? true : undefined,
    );
    await daemon.removePods();
  });

  it("names empty groups of Boxes of a daemon whose directories are gone; the next start removes old ones alone", async () => {
    const hierarchies = await cgroupHierarchies();
    const parents = hierarchies.map((hierarchy) => join(hierarchy, "a3s-box"));
    const made = parents.filter((parent) => !existsSync(parent));
    const groupsOf = (digit: string): string[] => parents.map((parent) => join(parent, digit.repeat(64)));
    const [old, young, used] = [groupsOf("d"), groupsOf("e"), groupsOf("f")];
    const program = spawn("sleep", ["100"], { stdio: "ignore" });
    try {
      const past = new Date(Date.now() - 200_000);
      for (const parent of parents) await mkdir(parent, { recursive: true });
      for (const group of [...young, ...used]) await mkdir(group);
      await mkdir(join(used[0] ?? "", "below"));
      await writeFile(join(used[0] ?? "", "below", "cgroup.procs"), String(program.pid));
      for (const group of used) await utimes(group, past, past);

      // A daemon of another test that starts meanwhile takes old ones away, as this one is to do later.
      const named = await eventually("no other daemon takes them", 60_000, async () => {
        for (const group of old) await mkdir(group, { recursive: true });
        await mkdir(join(old[0] ?? "", "below"), { recursive: true });
        for (const group of old) await utimes(group, past, past);
        const all = (await troubles()).filter(({ kind }) => kind === "cgroup").map(({ what }) => what);
        return old.every((group) => existsSync(group)) ? all : undefined;
      });
      expect(named).to.include.members([...old, ...young]);
      expect(named).not.to.include(used[0]);
      await daemon.stop();
      await daemon.launch();

      expect(old.filter((group) => existsSync(group))).to.deep.equal([]);
      expect([...young, ...used].filter((group) => !existsSync(group))).to.deep.equal([]);
    } finally {
      const ended = once(program, "exit");
      program.kill("SIGKILL");
      await ended;
      for (const group of [...old, ...young, ...used]) await rmdir(join(group, "below")).catch(() => undefined);
      for (const group of [...old, ...young, ...used, ...made]) await rmdir(group).catch(() => undefined);
    }
  });

  it("is a table for people", async () => {
    const { status, stdout } = await daemon.command("check", "--running");
    expect([status, stdout]).to.deep.equal([0, "Everything is as the records have it.\n"]);
  });
});
