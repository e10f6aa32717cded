import { access, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { failure, runtime, status } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import {
  containerStatus,
  exited,
  logLines,
  removeContainer,
  runPod,
  startContainer,
  type LogLine,
  type Pod,
} from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { eventually } from "../support/wait.js";

describe("Container log", () => {
  let daemon: Daemon;
  let pod: Pod;
  before(async () => {
    daemon = await sharedDaemon();
  });
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon);
      return pod;
    },
  );

  const logOf = async (line: string): Promise<LogLine[]> => {
    const id = await startContainer(daemon, pod, { command: ["sh", "-c", line] });
    const { logPath } = await exited(daemon, id, 60_000);
    const lines = await logLines(logPath);
    await removeContainer(daemon, id);
    return lines;
  };
  const text = (lines: readonly LogLine[], stream: string): string =>
    lines
      .filter((line) => line.stream === stream)
      .map((line) => line.text + (line.tag === "F" ? "\n" : ""))
      .join("");

  it("is at the absolute path that ContainerStatus names: the pod's directory and the container's path", async () => {
    const id = await startContainer(daemon, pod, { command: ["echo", "hello"], logPath: "some-name/0.log" });
    const { logPath } = await exited(daemon, id);
    expect(logPath).to.equal(join(pod.config.logDirectory, "some-name/0.log"));
    expect(text(await logLines(logPath), "stdout")).to.equal("hello\n");
    await removeContainer(daemon, id);
  });

  it("has a line per line, each with its stream, its time and whether it is whole", async () => {
    const before = Date.now();
    const lines = await logOf("echo one; echo two >&2; echo three");
    expect(lines.filter(({ stream }) => stream === "stdout").map((line) => line.text)).to.deep.equal(["one", "three"]);
    expect(lines.filter(({ stream }) => stream === "stderr").map((line) => line.text)).to.deep.equal(["two"]);
    expect(lines.every(({ tag }) => tag === "F")).to.equal(true);
    for (const { time } of lines) {
      expect(Date.parse(time))
        .to.be.greaterThan(before - 5_000)
        .and.lessThan(Date.now() + 5_000);
    }
  });

  it("is there while the container runs", async () => {
    const id = await startContainer(daemon, pod, { command: ["sh", "-c", "echo early; exec sleep 4324"] });
    const { logPath } = await containerStatus(daemon, id);
    await eventually("the line is in the log", 10_000, async () =>
      text(await logLines(logPath), "stdout") === "early\n" ? true : undefined,
    );
    await removeContainer(daemon, id);
  });

  it("marks the end of an output that has no newline as partial", async () => {
    const lines = await logOf("echo -n unfinished");
    expect(lines.map(({ text: content, tag }) => [content, tag])).to.deep.equal([["unfinished", "P"]]);
  });

  it("keeps empty lines, spaces and bytes as they are", async () => {
    const lines = await logOf("echo; echo '  x  '; printf '\\303\\244\\n'");
    expect(text(lines, "stdout")).to.equal("\n  x  \nä\n");
  });

  it("cuts long lines into parts of at most 16 KiB, which together are the line", async () => {
    const lines = await logOf("head -c 100000 /dev/zero | tr '\\000' x; echo");
    expect(text(lines, "stdout")).to.equal(`${"x".repeat(100_000)}\n`);
    expect(lines.at(-1)?.tag).to.equal("F");
    expect(lines.slice(0, -1).every(({ tag }) => tag === "P")).to.equal(true);
    expect(Math.max(...lines.map((line) => line.text.length))).to.be.at.most(16 * 1024);
  });

  it("loses nothing of a large output, and is whole when the container is EXITED", async () => {
    const lines = await logOf("seq 1 100000");
    expect(lines.length).to.equal(100_000);
    expect(lines.every((line, index) => line.text === String(index + 1))).to.equal(true);
  });

  it("keeps the log of each container of a pod apart", async () => {
    const ids = await Promise.all(
      ["a", "b", "c"].map((name) => startContainer(daemon, pod, { command: ["sh", "-c", `echo of ${name}`] })),
    );
    const logs = await Promise.all(ids.map(async (id) => logLines((await exited(daemon, id)).logPath)));
    expect(logs.map((lines) => text(lines, "stdout"))).to.deep.equal(["of a\n", "of b\n", "of c\n"]);
    await Promise.all(ids.map((id) => removeContainer(daemon, id)));
  });

  it("goes on in a new file after ReopenContainerLog, without a line lost or repeated", async () => {
    const line = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; usleep 5000; done";
    const id = await startContainer(daemon, pod, { command: ["sh", "-c", line] });
    const { logPath } = await containerStatus(daemon, id);
    await eventually("the first lines are in the log", 20_000, async () =>
      (await logLines(logPath)).length > 5 ? true : undefined,
    );
    await rename(logPath, `${logPath}.1`);
    await daemon.cri.call(runtime.reopenContainerLog, { containerId: id });
    const old = await readFile(`${logPath}.1`, "utf8");
    await access(logPath);
    await exited(daemon, id, 60_000);
    expect(await readFile(`${logPath}.1`, "utf8")).to.equal(old);
    const lines = [...(await logLines(`${logPath}.1`)), ...(await logLines(logPath))];
    expect(lines.map((one) => one.text)).to.deep.equal(Array.from({ length: 400 }, (_, index) => String(index + 1)));
    await failure(daemon.cri.call(runtime.reopenContainerLog, { containerId: id }), status.FAILED_PRECONDITION);
    await removeContainer(daemon, id);
  });

  it("is appended to when the same path is used again", async () => {
    for (const word of ["first", "second"]) {
      const id = await startContainer(daemon, pod, { command: ["echo", word], logPath: "again.log" });
      await exited(daemon, id);
      await removeContainer(daemon, id);
    }
    const content = await readFile(join(pod.config.logDirectory, "again.log"), "utf8");
    expect(content).to.match(/ first\n.* second\n$/s);
  });
});
