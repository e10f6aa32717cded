/** What `sync` in a Box waits for (docs/adr/0080). */
import { execFile } from "node:child_process";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import type { Daemon } from "../support/daemon.js";
import { runPod, shell, startContainer, type Pod } from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { limit } from "../support/wait.js";

const run = promisify(execFile);
/** Of somebody else on the node: far less than what the kernel begins to write back by itself. */
const dirtyMib = 256;

describe("sync in a Box", () => {
  let daemon: Daemon;
  let pod: Pod;
  let directory: string;
  before(async () => {
    daemon = await sharedDaemon();
    directory = await mkdtemp(join(daemon.base, "sync-"));
  });
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon);
      return pod;
    },
  );
  after(async () => {
    await rm(directory, { recursive: true });
  });

  const othersWrite = async (): Promise<void> => {
    await using file = await open(join(directory, "others"), "w");
    const block = Buffer.alloc(1 << 20, 1);
    for (let at = 0; at < dirtyMib; at++) await file.write(block);
  };

  it("writes back nothing of what others on the node have written, and takes at most twice a host's time", async () => {
    const id = await startContainer(daemon, pod, { mounts: [{ hostPath: directory, containerPath: "/data" }] });
    const write = "echo mine >/mine; echo volume >/data/mine";
    const clock = "read up idle </proc/uptime; echo $up";
    let times: string[] = [];
    let lost = Number.POSITIVE_INFINITY;
    // Anybody on the node may have written back all there is in the same moment; not three times.
    for (let turn = 0; turn < 3 && lost > dirtyMib / 2; turn++) {
      await othersWrite();
      const before = await dirtyOnHost();
      times = (await shell(daemon, id, `${write}; ${clock}; sync; ${clock}; sync; ${clock}`)).trim().split("\n");
      lost = before - (await dirtyOnHost());
    }
    expect(lost).to.be.at.most(dirtyMib / 2);
    const [from = 0, between = 0, to = 0] = times.map(Number);
    // what the pod has written is the host's all the same
    expect(await readFile(join(directory, "mine"), "utf8")).to.equal("volume\n");
    await othersWrite();
    const startMs = performance.now();
    await run("sync");
    const hostMs = Math.round(performance.now() - startMs);
    const [first, second] = [between - from, to - between].map((seconds) => Math.round(seconds * 1000));
    process.stdout.write(`      sync took ${first} ms in the Box, then ${second} ms; ${hostMs} ms on the host\n`);
    expect(Math.min(first ?? 0, second ?? 0)).to.be.at.most(Math.max(2 * hostMs, limit(200)));
  });
});

/** MiB that wait to be written to a disk. */
async function dirtyOnHost(): Promise<number> {
  const text = await readFile("/proc/meminfo", "utf8");
  return Number(/^Dirty:\s+(\d+) kB$/m.exec(text)?.[1]) / 1024;
}
