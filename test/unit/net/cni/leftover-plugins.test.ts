import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { newBoxId } from "../../../../src/base/ids.js";
import { endLeftoverPlugins } from "../../../../src/net/cni/leftover-plugins.js";

const never = new AbortController().signal;

describe("plugins that a killed daemon has left running", () => {
  it("end with what they have started; those of other sandboxes go on", async () => {
    const [mine, others] = [newBoxId(), newBoxId()];
    const start = (id: string) =>
      spawn("sh", ["-c", "sleep 60 & echo $!; wait"], { env: { ...process.env, CNI_CONTAINERID: id }, stdio: "pipe" });
    const [left, other] = [start(mine), start(others)];
    try {
      const [grandchild] = await Promise.all(
        [left, other].map(async ({ stdout }) => String((await once(stdout, "data"))[0])),
      );
      const ended = once(left, "exit");
      await endLeftoverPlugins(mine, never);
      expect((await ended)[1]).to.equal("SIGKILL");
      expect(await readFile(`/proc/${grandchild?.trim() ?? ""}/cmdline`, "utf8").catch(() => "")).to.equal(""); // or a zombie
      expect([other.exitCode, other.signalCode]).to.deep.equal([null, null]);
      await endLeftoverPlugins(mine, never);
    } finally {
      left.kill("SIGKILL");
      await endLeftoverPlugins(others, never);
    }
  });
});
