/** Which releases something runs from, by real processes: those of this test alone, for others can't be looked at without root. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { namesSaid, treesInUse, wasAll } from "../../../../src/cli/node/in-use.js";

describe("the releases that something runs from", () => {
  const [old, other] = ["a3s-box-of-chart-0.1.0-a", "a3s-box-of-chart-0.2.0-b"];
  let base: string;
  let children: ChildProcess[];

  beforeEach(async () => {
    children = [];
    base = await mkdtemp(join(tmpdir(), "a3s-in-use-"));
    await mkdir(join(base, "proc/self"), { recursive: true });
    for (const tree of [old, other]) {
      await mkdir(join(base, "opt", tree, "bin"), { recursive: true });
      await copyFile("/bin/sleep", join(base, "opt", tree, "bin/virtiofsd"));
    }
  });
  afterEach(async () => {
    await Promise.all(children.map(end));
    await rm(base, { recursive: true });
  });

  const used = async (): Promise<readonly string[]> =>
    await treesInUse(join(base, "opt"), [old, other], join(base, "proc"));
  const end = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  const start = async (program: string): Promise<ChildProcess> => {
    const child = spawn(program, ["60"], { stdio: "ignore" });
    children.push(child);
    await once(child, "spawn");
    await symlink(`/proc/${String(child.pid)}`, join(base, "proc", String(child.pid)));
    return child;
  };

  it("are those of programs of processes, for as long as these live", async () => {
    expect(await used()).to.deep.equal([]);
    const child = await start(join(base, "opt", old, "bin/virtiofsd"));
    expect(await used()).to.deep.equal([old]);
    await end(child);
    expect(await used()).to.deep.equal([]);
  });

  it("are known by the file where a program has another path, as in a jail", async () => {
    await start(join(base, "opt", old, "bin/virtiofsd"));
    await rename(join(base, "opt", old), join(base, "elsewhere"));
    await symlink(join(base, "elsewhere"), join(base, "opt", old));
    expect(await used()).to.deep.equal([old]);
  });

  it("are those that a mount namespace has mounts of, and no others of like names", async () => {
    const process = join(base, "proc/7");
    await mkdir(join(process, "ns"), { recursive: true });
    await symlink("mnt:[1]", join(process, "ns/mnt"));
    await writeFile(
      join(process, "mountinfo"),
      `30 1 8:1 /opt/${other}/build/assets/guest /guest ro - ext4 /dev/sda1 rw\n31 1 8:1 /opt/${old}0 /x ro - ext4 /dev/sda1 rw\n`,
    );
    expect(await used()).to.deep.equal([other]);
  });

  it("are not told where a process can't be looked at: nothing would be removed by half an answer", async () => {
    await mkdir(join(base, "proc/8"));
    await symlink("exe", join(base, "proc/8/exe")); // ELOOP, for want of a process that root may not see
    const why = await used().catch((thrown: unknown) => thrown);
    expect(why).to.be.instanceOf(Error).with.property("code", "ELOOP");
  });

  it("are read as they are printed", () => {
    const text = `in use: ${old}\nin use: ${other}\nThat is all.\n`;
    expect([...namesSaid(text)]).to.deep.equal([old, other]);
    expect([wasAll.test(text), wasAll.test(`in use: ${old}\n`)]).to.deep.equal([true, false]);
  });
});
