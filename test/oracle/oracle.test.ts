/**
 * The agent's own runtime against crun: the same bundles through both, in one Box; what the process sees must agree.
 * What may differ is named in the bundle, with its reason in README.md.
 */
import { expect } from "chai";
import { readFile } from "node:fs/promises";
import type { Box } from "../../src/vmm/box.js";
import { limit } from "../support/wait.js";
import { BoxBench } from "../vmm/bench-of-boxes.js";
import { startSession, type Ended, type Running } from "../vmm/sessions.js";
import { baseSpec, bundles, seen, type Bundle, type Spec } from "./bundles.js";

type RuntimeName = "own" | "crun";

/** A filter in which uname(2) fails with EPERM, as struct sock_filter[]. */
function filterOfUname(): Buffer {
  const program = Buffer.alloc(4 * 8);
  const instructions: [number, number, number, number][] = [
    [0x20, 0, 0, 0], // load the number
    [0x15, 0, 1, 63], // uname?
    [0x06, 0, 0, 0x0005_0001], // ERRNO | EPERM
    [0x06, 0, 0, 0x7fff_0000], // ALLOW
  ];
  instructions.forEach(([code, yes, no, k], index) => {
    program.writeUInt16LE(code, index * 8);
    program.writeUInt8(yes, index * 8 + 2);
    program.writeUInt8(no, index * 8 + 3);
    program.writeUInt32LE(k, index * 8 + 4);
  });
  return program;
}

/** Names of a session and of the run go; so does what the kernel numbers by itself. */
function same(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replaceAll(/[0-9a-f]{64}/g, "ID")
    .replaceAll(/root-[0-9a-f]{16}/g, "ROOT")
    .replaceAll(/^NSpid:.*$/gm, (line) => `NSpid of ${line.split("\t").length - 1}`)
    .replaceAll(/(?:master|shared|propagate_from):\d+ ?/g, "")
    .replaceAll(/exec-[-0-9a-zA-Z]+/g, "EXEC")
    .split("\n")
    .map((line) => line.trim())
    .join("\n");
}

/** Lines that only one of them has printed. */
function differences(own: string, crun: string): NonNullable<Bundle["differs"]> {
  const [ofOwn, ofCrun] = [same(own).split("\n"), same(crun).split("\n")];
  const only = (lines: string[], others: string[]): string[] => lines.filter((line) => !others.includes(line));
  return { own: only(ofOwn, ofCrun), crun: only(ofCrun, ofOwn) };
}

function failureOf(result: Ended | string): string {
  if (typeof result === "string") return result;
  expect.fail(`it ran: ${JSON.stringify(result)}`);
}

describe("the agent's own runtime and crun", function () {
  this.timeout(limit(120_000));
  let bench: BoxBench;
  let box: Box;
  before(async () => {
    bench = await BoxBench.open();
    box = await bench.boot({ memoryMib: 512 });
    await box.agent.configureSandbox(
      {
        hostname: "box",
        wallClockNs: 0n,
        sysctls: {},
        shmSizeBytes: 0n,
        rehearsal: false,
        interfaces: [],
        entropy: new Uint8Array(),
      },
      AbortSignal.timeout(limit(10_000)),
    );
  });
  after(async () => {
    const console = await readFile(`${box.handle.directory}/log/console`, "utf8").catch(() => "");
    await bench[Symbol.asyncDispose]();
    expect(console).to.not.match(/BUG|Busy inodes/);
  });

  async function start(runtime: RuntimeName, bundle: Bundle, command: string, seccompBpf?: Buffer): Promise<Running> {
    const spec = (root: string): Spec => {
      const made = baseSpec(root, runtime, command);
      bundle.change?.(made);
      return made;
    };
    return await startSession(box, bench, { spec, ...(seccompBpf === undefined ? {} : { seccompBpf }) });
  }

  async function run(runtime: RuntimeName, bundle: Bundle): Promise<Ended | string> {
    let session: Running;
    try {
      session = await start(runtime, bundle, seen(bundle.print));
    } catch (thrown) {
      return String(thrown);
    }
    try {
      return await session.ended();
    } finally {
      await session.remove();
    }
  }

  for (const bundle of bundles) {
    it(`agree on ${bundle.name}`, async () => {
      const [own, crun] = [await run("own", bundle), await run("crun", bundle)];
      if (bundle.refused === "own") return void failureOf(own);
      if (bundle.refused === "both") {
        const [ownFailure, crunFailure] = [failureOf(own), failureOf(crun)];
        expect(ownFailure.includes("executable file not found")).to.equal(
          crunFailure.includes("executable file not found"),
          `own: ${ownFailure}; crun: ${crunFailure}`,
        );
        return;
      }
      if (typeof own === "string" || typeof crun === "string") {
        expect.fail(`own: ${JSON.stringify(own)}\ncrun: ${JSON.stringify(crun)}`);
      }
      expect(differences(own.stdout, crun.stdout)).to.deep.equal(bundle.differs ?? { own: [], crun: [] });
      expect(own.code).to.equal(crun.code);
    });
  }

  it("agree on an exec, with the container's filter, in another directory and as another user", async () => {
    const results: Ended[] = [];
    for (const runtime of ["own", "crun"] as const) {
      const plain: Bundle = { name: "exec" };
      const session = await start(runtime, plain, "exec /bin/busybox sleep 1000", filterOfUname());
      try {
        const { process } = baseSpec("/", runtime, seen("b pwd; b uname 2>&1; b grep -c . /proc/1/status"));
        const user = { uid: 12, gid: 34, additionalGids: [56], umask: 0o077 };
        results.push(await session.exec({ ...process, user, cwd: "/tmp" }));
        results.push(await session.exec({ ...process, noNewPrivileges: true }));
      } finally {
        await session.remove();
      }
    }
    const [own, ownPlain, crun, crunPlain] = results;
    expect(same(own?.stdout ?? ""))
      .to.contain("Seccomp:\t2")
      .and.to.equal(same(crun?.stdout ?? "no crun"));
    expect(same(ownPlain?.stdout ?? "")).to.equal(same(crunPlain?.stdout ?? "no crun"));
  });

  it("leave no process, descriptor, session or cgroup behind after many execs", async () => {
    const session = await start("own", { name: "stress" }, "exec /bin/busybox sleep 1000");
    try {
      const { process } = baseSpec("/", "own", "");
      const count = Number(globalThis.process.env["A3S_TEST_EXECS"] ?? "20");
      for (let turn = 0; turn < count; turn++) {
        const { code } = await session.exec({ ...process, args: ["/bin/busybox", "false"] });
        expect(code).to.equal(1);
      }
      const state = "B=/bin/busybox; $B ls /sys/fs/cgroup | $B grep -c exec-; $B ls /proc | $B grep -c '^[0-9]'";
      const { stdout } = await session.exec({ ...process, args: ["/bin/busybox", "sh", "-c", state] });
      // this exec's own group; init, this shell, ls and grep
      expect(stdout).to.equal("1\n4\n");
    } finally {
      await session.remove();
    }
    expect(await box.agent.listSessions(AbortSignal.timeout(limit(10_000)))).to.deep.equal([]);
  });
});
