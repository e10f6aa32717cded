import { expect } from "chai";
import { failure, runtime, status } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import {
  containerStatus,
  createContainer,
  exec,
  exited,
  removeContainer,
  runPod,
  shell,
  startContainer,
  type Pod,
} from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { limit, secondsLimit } from "../support/wait.js";

/** 5000 by hand: of 1500 nine slept for 8 to 9 s. */
const byHand = process.env["A3S_EXEC_CALLS"];
const execCount = Number(byHand ?? "40");
const longestMs = byHand === undefined ? 5000 : 1500;
/** CPUs of the Box; a Box has no more than its host. */
const cpus = BigInt(process.env["A3S_EXEC_CPUS"] ?? "0");

describe("ExecSync", () => {
  let daemon: Daemon;
  let pod: Pod;
  let container: string;
  before(async () => {
    daemon = await sharedDaemon();
  });
  sharedPod(
    () => daemon,
    async () => {
      const resources = { cpuPeriod: 100_000n, cpuQuota: cpus * 100_000n };
      pod = await runPod(daemon, cpus === 0n ? {} : { linux: { resources } });
      container = await startContainer(daemon, pod, {
        envs: [{ key: "GIVEN", value: Buffer.from("yes") }],
        workingDir: "/tmp",
      });
      return pod;
    },
  );

  it("returns standard output and standard error apart, and the exit code", async () => {
    expect(await exec(daemon, container, ["echo", "-n", "hello"])).to.deep.equal({
      stdout: "hello",
      stderr: "",
      exitCode: 0,
    });
    expect(await exec(daemon, container, ["sh", "-c", "echo out; echo err >&2; exit 9"])).to.deep.equal({
      stdout: "out\n",
      stderr: "err\n",
      exitCode: 9,
    });
  });

  it("reports a process that a signal killed as 128 and the signal", async () => {
    expect((await exec(daemon, container, ["sh", "-c", "kill -9 $$"])).exitCode).to.equal(137);
  });

  it("runs with the container's environment and working directory", async () => {
    expect(await shell(daemon, container, "echo $GIVEN; pwd")).to.equal("yes\n/tmp\n");
  });

  it("kills the process with all its children after the timeout, and says DEADLINE_EXCEEDED", async () => {
    const cmd = ["sh", "-c", "sleep 4321 & sleep 4321"];
    await failure(
      daemon.cri.call(runtime.execSync, { containerId: container, cmd, timeout: 1n }),
      status.DEADLINE_EXCEEDED,
    );
    // pidof ends with 1 when there is none.
    expect(await exec(daemon, container, ["pidof", "sleep"])).to.deep.equal({ stdout: "", stderr: "", exitCode: 1 });
  });

  it("returns when the process exits, not when a child of it closes the output", async () => {
    const done = await exec(daemon, container, ["sh", "-c", "sleep 4323 & echo now"], 20);
    expect(done.stdout).to.equal("now\n");
    await shell(daemon, container, "kill $(pidof sleep)");
  });

  it("fails, naming the program, when there is no such program", async () => {
    await failure(
      daemon.cri.call(runtime.execSync, { containerId: container, cmd: ["no-such-program"], timeout: 10n }),
      status.FAILED_PRECONDITION,
      /executable file not found/,
    );
  });

  it("keeps the first 16 MiB of an output, drops the rest, and lets the program end", async () => {
    const line = "dd if=/dev/zero bs=1M count=17 2>/dev/null; touch /tmp/ended";
    const cmd = ["sh", "-c", line];
    const answer = daemon.cri.call(runtime.execSync, { containerId: container, cmd, timeout: secondsLimit(60) });
    // 16 MiB of output and a few bytes around them are more than a client with kubelet's limit takes.
    await failure(answer, status.RESOURCE_EXHAUSTED);
    expect(await shell(daemon, container, "ls /tmp/ended")).to.equal("/tmp/ended\n");
  });

  it("returns every byte of a large output", async () => {
    const done = await exec(daemon, container, ["sh", "-c", "seq 1 200000 | tee /tmp/seq; md5sum </tmp/seq >&2"], 60);
    const { createHash } = await import("node:crypto");
    expect(done.stderr.slice(0, 32)).to.equal(createHash("md5").update(done.stdout).digest("hex"));
    expect(done.stdout.length).to.be.greaterThan(1_200_000);
  });

  it("serves several at once in one container", async () => {
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, turn) => exec(daemon, container, ["sh", "-c", `echo ${turn}; exit ${turn}`])),
    );
    expect(results.map(({ stdout, exitCode }) => [stdout, exitCode])).to.deep.equal(
      Array.from({ length: 8 }, (_, turn) => [`${turn}\n`, turn]),
    );
  });

  it(`answers ${execCount} calls, one after the other, of which none sleeps`, async function () {
    this.timeout(limit(120_000 + execCount * 1000));
    const times: number[] = [];
    for (let call = 0; call < execCount; call++) {
      const beganMs = performance.now();
      await exec(daemon, container, ["true"]);
      times.push(performance.now() - beganMs);
    }
    times.sort((a, b) => a - b);
    const at = (part: number): string => (times[Math.floor(part * (times.length - 1))] ?? 0).toFixed(0);
    process.stdout.write(`      p50, p99, max ${at(0.5)}, ${at(0.99)}, ${at(1)} ms\n`);
    expect(Math.max(...times)).to.be.below(limit(longestMs));
  });

  it("refuses a container that is not there, and one that does not run", async () => {
    const call = (containerId: string, cmd: string[]): Promise<unknown> =>
      daemon.cri.call(runtime.execSync, { containerId, cmd, timeout: 10n });
    await failure(call("0".repeat(64), ["true"]), status.NOT_FOUND);
    await failure(call(container, []), status.INVALID_ARGUMENT);
    const created = await createContainer(daemon, pod);
    await failure(call(created, ["true"]), status.FAILED_PRECONDITION);
    await removeContainer(daemon, created);
    const ended = await startContainer(daemon, pod, { command: ["true"] });
    await exited(daemon, ended);
    await failure(call(ended, ["true"]), status.FAILED_PRECONDITION);
    await removeContainer(daemon, ended);
  });

  it("does not end the container when an exec of it is killed", async () => {
    await exec(daemon, container, ["sh", "-c", "kill -9 $$"]);
    expect((await containerStatus(daemon, container)).finishedAt).to.equal(0n);
  });
});
