/** A log on a disk that stands still for some seconds: the container waits, nothing grows, nothing is lost. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { runtime } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import {
  containerStatus,
  exec,
  exited,
  logLines,
  removeContainer,
  removePod,
  runPod,
  runToEnd,
  shell,
  startContainer,
} from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { SlowDisk } from "../support/slow-disk.js";
import { MemoryWatch } from "../support/streaming/memory-watch.js";
import { Undo } from "../support/undo.js";
import { eventually } from "../support/wait.js";

/** Parts of the output, of about a MiB each. */
const parts = 24;
/** Of them, while nothing can be written. */
const mostOnTheWay = 8;
const standsMs = 8_000;
const growthMib = 64;
/** More than libuv has threads. */
const stuckContainers = 6;

describe("Container log on a slow disk", () => {
  let daemon: Daemon;
  let disk: SlowDisk;
  const undo = new Undo();
  before(async () => {
    daemon = await sharedDaemon();
    disk = await SlowDisk.create(128);
    undo.add(() => disk.remove());
  });
  after(async () => {
    await undo.run();
  });

  it("output faster than the disk slows the container, takes no memory of the daemon, and is whole in the end", async () => {
    const pod = await runPod(daemon, { logDirectory: join(disk.path, "pod") });
    undo.add(() => removePod(daemon, pod));
    const make = "head -c 786432 /dev/urandom | base64 > /part; sha256sum < /part > /digest; echo 0 > /written";
    const go = "until [ -e /go ]; do usleep 50000; done";
    const print = `i=0; while [ $i -lt ${parts} ]; do cat /part; i=$((i+1)); echo $i > /written; done`;
    const id = await startContainer(daemon, pod, { command: ["sh", "-c", `${make}; ${go}; ${print}`] });
    const written = async (): Promise<number> => Number(await shell(daemon, id, "cat /written 2>/dev/null || echo -1"));
    await eventually("it is ready to print", 60_000, async () => ((await written()) === 0 ? true : undefined));
    const watch = await MemoryWatch.start(daemon);
    await disk.freeze();
    let reopened: Promise<unknown>;
    let digest: string | undefined;
    try {
      await shell(daemon, id, "touch /go");
      await delay(standsMs / 2);
      reopened = daemon.cri.call(runtime.reopenContainerLog, { containerId: id });
      await delay(standsMs / 2);
      // What is on its way: pipe, agent, daemon.
      expect(await written()).to.be.at.most(mostOnTheWay);
      digest = (await shell(daemon, id, "cat /digest")).split(" ")[0];
    } finally {
      await disk.thaw();
    }
    await reopened;
    const { logPath, exitCode } = await exited(daemon, id, 120_000);
    expect(exitCode).to.equal(0);
    for (const { name, beforeMib, peakMib } of await watch.stop()) {
      expect(peakMib - beforeMib, name).to.be.lessThan(growthMib);
    }
    const lines = await logLines(logPath);
    const text = lines.map((line) => (line.tag === "F" ? `${line.text}\n` : line.text)).join("");
    expect(text.length % parts).to.equal(0);
    for (let part = 0, length = text.length / parts; part < parts; part += 1) {
      const hash = createHash("sha256").update(text.slice(part * length, (part + 1) * length));
      expect(hash.digest("hex"), `part ${part}`).to.equal(digest);
    }
    await removeContainer(daemon, id);
  });

  it("that hangs holds up its own containers, and no other pod's calls", async () => {
    const stuck = await runPod(daemon, { logDirectory: join(disk.path, "stuck") });
    undo.add(() => removePod(daemon, stuck));
    const other = await runPod(daemon);
    undo.add(() => removePod(daemon, other));
    const beside = await startContainer(daemon, other);
    const command = ["sh", "-c", "until [ -e /go ]; do usleep 50000; done; seq 1 1000; touch /printed; sleep 1000"];
    const ids = await Promise.all(
      Array.from({ length: stuckContainers }, () => startContainer(daemon, stuck, { command })),
    );
    await disk.freeze();
    try {
      await Promise.all(ids.map((id) => shell(daemon, id, "touch /go")));
      await eventually("all have printed", 60_000, async () => {
        const done = await Promise.all(ids.map((id) => exec(daemon, id, ["test", "-e", "/printed"])));
        return done.every(({ exitCode }) => exitCode === 0) ? true : undefined;
      });
      // What is to be written has come to the daemon by then: the agent sends it at once.
      await delay(1_000);
      expect(await shell(daemon, beside, "echo heard")).to.equal("heard\n");
      expect(await runToEnd(daemon, other, "echo logged")).to.equal("logged\n");
    } finally {
      await disk.thaw();
    }
    const expected = Array.from({ length: 1000 }, (_, index) => String(index + 1));
    for (const id of ids) {
      const { logPath } = await containerStatus(daemon, id);
      await eventually("the log is whole", 60_000, async () => {
        const lines = await logLines(logPath).catch(() => []);
        return lines.length === expected.length ? true : undefined;
      });
      expect((await logLines(logPath)).map(({ text }) => text)).to.deep.equal(expected);
      await removeContainer(daemon, id);
    }
  });
});
