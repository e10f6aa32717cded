import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { mkdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { canDie, DeadMount } from "../support/faults/dead-mount.js";
import { addonFile } from "../support/native-builds.js";
import { Scratch, failure, native } from "./scratch.js";
import { skipBecause } from "../support/skip.js";

/** More than the pool has threads, unless told otherwise. */
const many = 12;

describe("lookUp", () => {
  it("follows links and says what is there, or the system's error", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("real"));
    await writeFile(scratch.in("real/file"), "");
    await symlink("real/file", scratch.in("link"));
    const { dev, ino } = await stat(scratch.in("real/file"), { bigint: true });
    const expected = { path: scratch.in("real/file"), kind: "file", device: dev, inode: ino };
    expect(await native.lookUp(scratch.in("link"))).to.deep.equal(expected);
    expect(await native.lookUp(scratch.in("real"))).to.include({ kind: "directory" });
    expect(await native.lookUp("/dev/null")).to.include({ kind: "device" });
    expect(await failure(() => native.lookUp(scratch.in("none")))).to.include({ code: "ENOENT" });
  });

  describe("of file systems that are dead", () => {
    before(function () {
      if (!canDie) skipBecause(this, "no /dev/fuse here, by which a file system can be dead");
    });

    it("leaves the pool's threads alone, and is answered when they end", async () => {
      await using dead = await DeadMount.make();
      const asked = Array.from({ length: many }, (_, index) =>
        failure(() => native.lookUp(join(dead.path, `${index}`))),
      );
      await stat("/"); // needs one
      dead.end();
      for (const answer of await Promise.all(asked)) expect(answer).to.have.property("code");
    });

    it("does not keep a process that is to end now", async () => {
      await using dead = await DeadMount.make();
      // One in the pool, too: exit(3) would wait for it.
      const program = `
        const native = require(${JSON.stringify(addonFile)});
        void native.lookUp(${JSON.stringify(join(dead.path, "a"))});
        require("node:fs").stat(${JSON.stringify(join(dead.path, "b"))}, () => undefined);
        setTimeout(() => native.exitNow(7), 100);`;
      const { status } = spawnSync(process.execPath, ["-e", program], { timeout: 10_000, killSignal: "SIGKILL" });
      expect(status).to.equal(7);
    });
  });
});
