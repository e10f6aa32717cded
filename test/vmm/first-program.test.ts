/** What the agent may lack when a guest's kernel starts it. */
import { spawnSync } from "node:child_process";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { projectDirectory } from "../support/project.js";

describe("the agent of a guest", () => {
  it("begins without a console and without /dev: the kernel has none where the host is slow", async () => {
    const root = await mkdtemp(join(tmpdir(), "a3s-first-"));
    try {
      await copyFile(join(projectDirectory, "build/assets/guest/usr/bin/agent"), join(root, "agent"));
      const closed = 'exec chroot "$1" /agent --version <&- >&- 2>&-';
      const { status, signal } = spawnSync("sh", ["-c", closed, "sh", root], { timeout: 10_000 });
      expect({ status, signal }).to.deep.equal({ status: 0, signal: null });
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
