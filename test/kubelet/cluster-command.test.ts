/** `npm run cluster` as a person has it, with Ctrl-C at different moments: whatever was there, nothing is left. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { hasControlPlane } from "../support/control-plane.js";
import { busyboxImage } from "../support/images.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";

const upMs = 400_000;
const downMs = 300_000;

describe("npm run cluster", function () {
  this.timeout(limit(upMs + downMs));
  /** Its temporary directory: what it has left, in directories, mounts and processes, is told by this path. */
  let directory: string;
  let child: ChildProcess;
  let said: string;
  before(function () {
    if (!hasControlPlane()) skipBecause(this, "no control plane: npm run setup -- cluster builds one, in half an hour");
  });
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3"));
    said = "";
    // A session of its own, as the terminal that it is started from has; `interrupt` is Ctrl-C there.
    child = spawn(process.execPath, ["scripts/cluster.mjs"], {
      cwd: projectDirectory,
      env: { ...process.env, TMPDIR: directory },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => (said += text));
    }
  });
  afterEach(async function () {
    if (this.currentTest?.state === "failed") process.stderr.write(`--- what it said\n${said}\n`);
    if (isGroupAlive()) interrupt("SIGTERM");
    await eventually("its processes have ended", downMs, () => (isGroupAlive() ? undefined : true));
    await rm(directory, { recursive: true, force: true });
  });

  const interrupt = (signal: NodeJS.Signals): void => {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  };
  const isGroupAlive = (): boolean => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 0);
      return child.pid !== undefined;
    } catch {
      return false;
    }
  };
  async function ended(how: () => void): Promise<number | null> {
    const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
    how();
    const timer = setTimeout(() => child.kill("SIGKILL"), limit(downMs));
    const code = await closed;
    clearTimeout(timer);
    return code;
  }
  const until = (text: string): Promise<true> =>
    eventually(`it says "${text}"`, upMs, () => {
      if (said.includes(text)) return true;
      if (child.exitCode !== null) throw new Error(`it has ended with ${String(child.exitCode)}`);
      return undefined;
    });

  /** Of directories, mounts and processes. A daemon's directory goes only after its groups have gone. */
  async function expectNothingLeft(): Promise<void> {
    const isCache = (name: string): boolean => name.startsWith("tsx-"); // of whatever runs TypeScript here
    expect((await readdir(directory)).filter((name) => !isCache(name))).to.deep.equal([]);
    expect(await readFile("/proc/self/mountinfo", "utf8")).to.not.contain(directory);
    expect(await linesOf("ps", "-eo", "pid,args", directory)).to.deep.equal([]);
  }

  it("brings a cluster up that runs a pod, and takes all down with pods that boot", async () => {
    await until("Interrupt this");
    const kubectl = join(directory, /(a3s-p\w+\/kubectl) get nodes/.exec(said)?.[1] ?? "");
    const run = (...args: readonly string[]) => promisify(execFile)(kubectl, args, { timeout: limit(200_000) });
    const listed = (await run("get", "a3sbox", "agent", "--no-headers")).stdout.split(/\s+/);
    expect(listed.slice(0, 4)).to.deep.equal(["agent", "cri", "custom", "True"]);
    const worked = (await run("exec", "agent", "--", "agent", "fix the build")).stdout;
    expect(worked).to.contain("task: fix the build").and.contain("Hello from a model.");
    const hello = ["run", "hello", `--image=${busyboxImage}`, "--image-pull-policy=Never", "--command", "--"];
    await run(...hello, "sh", "-c", "uname -r; sleep 600");
    await run("wait", "pod/hello", "--for=condition=Ready", "--timeout=180s");
    expect((await run("exec", "hello", "--", "echo", "alive")).stdout).to.equal("alive\n");
    const late = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "late" } };
    await run(
      "create",
      "deployment",
      late.metadata.name,
      `--image=${busyboxImage}`,
      "--replicas=4",
      "--",
      "sleep",
      "9",
    );
    await eventually("a further Box boots", 60_000, async () =>
      (await linesOf("ps", "-eo", "pid,args", `${directory}.*qemu-system|qemu-system.*${directory}`)).length > 1
        ? true
        : undefined,
    );
    await ended(() => {
      interrupt("SIGINT");
    });
    expect(said).to.contain("the cluster is down");
    await expectNothingLeft();
  });

  for (const [when, text] of [
    ["has just begun", "bringing the cluster up"],
    ["has a daemon", "a3s-t"],
  ] as const) {
    it(`takes down what there is when it is interrupted as it ${when}`, async () => {
      if (text === "a3s-t") {
        await eventually("there is a daemon", upMs, async () =>
          (await readdir(directory)).some((name) => name.startsWith("a3s-p")) ? true : undefined,
        );
      } else await until(text);
      await ended(() => {
        interrupt("SIGINT");
      });
      expect(said).to.contain("the cluster is down");
      await expectNothingLeft();
    });
  }

  it("takes all down when what started it is killed", async () => {
    await eventually("there is a control plane", upMs, async () =>
      (await readdir(directory)).some((name) => name.startsWith("a3s-p")) ? true : undefined,
    );
    await ended(() => child.kill("SIGKILL"));
    await eventually("nothing is left", downMs, async () => {
      await expectNothingLeft();
      return true;
    });
  });
});

/** Lines of a program's output that match. */
async function linesOf(program: string, ...args: readonly string[]): Promise<string[]> {
  const pattern = new RegExp(args.at(-1) ?? "");
  const { stdout } = await promisify(execFile)(program, args.slice(0, -1), { maxBuffer: 1 << 26 });
  return stdout.split("\n").filter((line) => pattern.test(line));
}
