import { spawn } from "node:child_process";
import { copyFile, mkdir, readFile, readlink } from "node:fs/promises";
import { expect } from "chai";
import { readMountinfo } from "../../src/base/mountinfo.js";
import { boxProcesses } from "../../src/cli/running/processes.js";
import { eventually } from "../support/wait.js";
import { Scratch, native, plain } from "./scratch.js";

describe("processes of Boxes", () => {
  it("are known by what their jail shows, which is not what a copy of the host's mounts shows", async () => {
    await using scratch = await Scratch.make();
    const box = `state/boxes/${"0123456789abcdef".repeat(2).slice(0, 24)}`;
    const [layout, share, seen] = [scratch.in(`${box}/layout`), scratch.in(`${box}/share`), scratch.in("seen")];
    for (const directory of [layout, share, seen]) await mkdir(directory, { recursive: true });
    await native.bindMount(layout, share, false, plain);
    const program = scratch.in("virtiofsd");
    await copyFile("/bin/sleep", program);
    const start = (line: string): ReturnType<typeof spawn> =>
      spawn("unshare", ["--mount", "sh", "-c", `${line}exec ${program} 30`], { stdio: "ignore" });
    const others = start("");
    const jailed = start(`mount --bind ${share} ${seen} && umount ${share} && `);
    try {
      for (const { pid } of [others, jailed]) {
        await eventually("it runs", 10_000, async () =>
          (await readlink(`/proc/${String(pid)}/exe`)) === program ? true : undefined,
        );
      }
      expect(await readFile(`/proc/${String(others.pid)}/mountinfo`, "utf8")).to.include(share);
      const found = await boxProcesses(scratch.in("state"), await readMountinfo());
      expect(found.map(({ pid }) => pid)).to.deep.equal([jailed.pid]);
    } finally {
      for (const one of [others, jailed]) {
        const ended = new Promise((resolve) => one.once("exit", resolve));
        one.kill("SIGKILL");
        await ended;
      }
    }
  });
});
