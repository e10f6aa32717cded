/** A guest that walks through more files than its file server may have open (docs/adr/0052). */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { podRecords } from "../../src/runtime/pod/pod-record.js";
import { readRecords } from "../../src/store/records.js";
import type { Daemon } from "../support/daemon.js";
import { exited, logLines, removeContainer, runPod, startContainer, type Pod } from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";

const run = promisify(execFile);
const inDirectory = 1000;
/** Of a volume, and of a container's root. */
const files = Number(process.env["A3S_TEST_FILES"] ?? "0");
/** A guest must not come from a half of it to all of it before the daemon looks, and that on a busy machine. */
const limitOfServer = Math.max(20_000, files / 4);

describe("More files than a file server may have open", function () {
  this.timeout(limit(Math.max(120_000, files * 90)));
  let daemon: Daemon;
  let pod: Pod;
  before(async function () {
    if (files === 0) skipBecause(this, "it takes minutes: A3S_TEST_FILES says how many");
    daemon = await sharedDaemon();
  });
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon);
      return pod;
    },
  );

  /** The process that has the share's files open. */
  const serverPid = async (): Promise<number> => {
    const { records } = await readRecords(daemon.root, podRecords);
    const processes = records.find(({ id }) => id === pod.id)?.box?.processes ?? [];
    const server = processes.find(({ role }) => role === "fs") ?? processes[0];
    if (server === undefined) throw new Error("the pod has no processes");
    return server.pid;
  };

  it("are all seen, again and again", async () => {
    const volume = await mkdtemp(join(daemon.base, "files-"));
    for (let first = 0; first < files; first += inDirectory) {
      const directory = join(volume, String(first));
      await mkdir(directory);
      for (let at = 0; at < inDirectory; at++) await writeFile(join(directory, `file-${String(at)}`), "");
    }
    const pid = await serverPid();
    await run("prlimit", ["--pid", String(pid), `--nofile=${String(limitOfServer)}`]);
    let most = 0;
    const watch = setInterval(() => {
      void readdir(`/proc/${String(pid)}/fd`).then((open) => (most = Math.max(most, open.length)));
    }, 50);
    try {
      const count = (directory: string): string => `ls -lnR ${directory} | grep -c ' file-'`;
      const line = `${count("/data")} && ${count("/data")} && cp -r /data /own && ${count("/own")}`;
      const mounts = [{ hostPath: volume, containerPath: "/data" }];
      const id = await startContainer(daemon, pod, { mounts, command: ["sh", "-c", line] });
      const { exitCode, logPath } = await exited(daemon, id, files * 60);
      const said = (await logLines(logPath)).map(({ text }) => text);
      expect([exitCode, ...said]).to.deep.equal([0, ...Array.from({ length: 3 }, () => String(files))]);
      await removeContainer(daemon, id);
    } finally {
      clearInterval(watch);
      await rm(volume, { recursive: true });
    }
    process.stdout.write(
      `      at most ${String(most)} of ${String(limitOfServer)} descriptors, for ${String(files)} files\n`,
    );
    expect(most).to.be.lessThan(limitOfServer);
  });
});
