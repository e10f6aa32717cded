/** What a busy node does all day: probes by the hundred, containers that come and go, programs that print all they can. */
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { NamespaceMode } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import { boxProcesses, openDescriptors } from "../support/machine.js";
import {
  containerStatus,
  exited,
  logLines,
  removeContainer,
  runPod,
  shell,
  startContainer,
  type Pod,
} from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { eventually, limit } from "../support/wait.js";

const execs = Number(process.env["A3S_TEST_EXECS"] ?? "200");
const containers = Number(process.env["A3S_TEST_CONTAINERS"] ?? "20");
const atATime = 4;

/** Runs `work` for each number below `count`, a few at a time. */
async function forEachOf(count: number, work: (turn: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: atATime }, worker));
}

describe("Under load", function () {
  this.timeout(limit(120_000 + execs * 3_000 + containers * 6_000));
  let daemon: Daemon;
  let pod: Pod;
  before(async () => {
    daemon = await sharedDaemon();
  });
  sharedPod(
    () => daemon,
    async () => {
      // the privileged one looks at the guest as a whole
      pod = await runPod(daemon, { linux: { securityContext: { privileged: true } } });
      return pod;
    },
  );

  it(`${execs} execs, of which each tenth times out, leave nothing behind in guest, VMM or daemon`, async () => {
    const container = await startContainer(daemon, pod);
    const inspector = await startContainer(daemon, pod, {
      linux: { securityContext: { privileged: true, namespaceOptions: { pid: NamespaceMode.POD } } },
    });
    // PID 1 and the agent's server; what makes this very exec is an agent for a moment too
    const servers = "1 $(pidof agent | tr ' ' '\\n' | sort -n | sed -n 2p)";
    // the kernel's own threads, which come and go as it likes, are 2 and its children; zombies count
    const processes = `echo "$all" | awk '$1 != 2 && $2 != 2 && !/agent/' | wc -l`;
    const line = `all=$(ps -o pid,ppid,args); ${processes}; for p in ${servers}; do ls /proc/$p/fd | wc -l; done`;
    const inGuest = async (): Promise<string> => await shell(daemon, inspector, line);
    const inContainer = async (): Promise<string> =>
      await shell(daemon, container, "cd /sys/fs/cgroup; ls | grep -c exec-; cat cgroup.procs */cgroup.procs | wc -l");
    const onHost = async (): Promise<Record<string, number>> => {
      const held: Record<string, number> = {};
      const count = async (name: string, pid: number): Promise<void> => {
        for (const one of await openDescriptors(pid)) held[`${name} ${one}`] = (held[`${name} ${one}`] ?? 0) + 1;
      };
      await count("daemon", daemon.pid);
      for (const { pid, name } of await boxProcesses(daemon.scope)) {
        if (name.startsWith("qemu") || name.includes("launcher")) await count("VMM", pid);
      }
      return held;
    };
    const exec = async (turn: number): Promise<void> => {
      const timesOut = turn % 10 === 9;
      const cmd = timesOut ? ["sh", "-c", "sleep 4328 & sleep 4328"] : ["sh", "-c", `exit ${turn % 7}`];
      const call = daemon.cri.call(runtime.execSync, {
        containerId: container,
        cmd,
        timeout: timesOut ? 1n : 60n,
      });
      if (timesOut) await failure(call, status.DEADLINE_EXCEEDED);
      else expect((await call).exitCode).to.equal(turn % 7);
    };
    await forEachOf(10, exec); // what the first ones open for good
    await daemon.machine(); // nothing is being made behind the pods, which the daemon holds open too
    const before = { guest: await inGuest(), container: await inContainer(), host: await onHost() };
    await forEachOf(execs, exec);
    await daemon.machine();
    await eventually("all is as it was before", 60_000, async () => {
      const after = { guest: await inGuest(), container: await inContainer(), host: await onHost() };
      expect(JSON.stringify(after, null, 1)).to.equal(JSON.stringify(before, null, 1));
      return true;
    });
    await Promise.all([removeContainer(daemon, container), removeContainer(daemon, inspector)]);
  });

  it(`${containers} containers that print and exit at once: every line of each is in its log`, async () => {
    await forEachOf(containers, async (turn) => {
      const id = await startContainer(daemon, pod, { command: ["sh", "-c", `seq 1 300 | sed 's/^/of ${turn}: /'`] });
      const { logPath, exitCode } = await exited(daemon, id, 60_000);
      expect(exitCode).to.equal(0);
      const lines = await logLines(logPath);
      expect(lines.map(({ text }) => text)).to.deep.equal(
        Array.from({ length: 300 }, (_, index) => `of ${turn}: ${index + 1}`),
      );
      await removeContainer(daemon, id);
      await rm(logPath);
    });
  });

  it("a log that is rotated while a container prints all it can has every line once, in order and whole", async () => {
    const count = 150_000;
    const id = await startContainer(daemon, pod, { command: ["seq", "1", String(count)], logPath: "rotated.log" });
    const { logPath } = await containerStatus(daemon, id);
    let rotations = 0;
    for (; (await containerStatus(daemon, id)).finishedAt === 0n; rotations++) {
      await rename(logPath, `${logPath}.${String(rotations).padStart(6, "0")}`);
      const reopened = await daemon.cri.call(runtime.reopenContainerLog, { containerId: id }).then(
        () => true,
        () => false,
      );
      if (!reopened) break; // it has exited meanwhile
      await delay(50);
    }
    await exited(daemon, id, 60_000);
    expect(rotations).to.be.greaterThan(0);
    const directory = pod.config.logDirectory;
    const names = (await readdir(directory)).filter((name) => name.startsWith("rotated.log.")).sort();
    const last = (await readdir(directory)).includes("rotated.log") ? ["rotated.log"] : [];
    const parts = await Promise.all([...names, ...last].map((name) => logLines(join(directory, name))));
    const lines = parts.flat();
    const wrong = lines.findIndex(({ text, tag }, index) => text !== String(index + 1) || tag !== "F");
    expect(lines[wrong]?.text ?? "none").to.equal("none");
    expect(lines).to.have.length(count);
    expect(lines.every(({ time }, index) => index === 0 || time > (lines[index - 1]?.time ?? ""))).to.equal(true);
    await removeContainer(daemon, id);
  });
});
