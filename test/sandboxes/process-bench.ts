/** Processes of a session in a real Box, without a daemon. */
import { join } from "node:path";
import { createLogger } from "../../src/base/log.js";
import type { ExecGround } from "../../src/runtime/spec/detached-process.js";
import { detachedExecsIn, type DetachedExecs } from "../../src/runtime/exec/detached-execs.js";
import type { ProcessEvent, ProcessExit, Processes, ProcessWanted } from "../../src/sandboxes/core/process.js";
import { SandboxProcesses, type ProcessLimits } from "../../src/sandboxes/core/processes/sandbox-processes.js";
import type { Box } from "../../src/vmm/box.js";
import { busyboxSpec } from "../vmm/busybox-spec.js";
import { within, type BoxBench } from "../vmm/bench-of-boxes.js";
import { startSession } from "../vmm/sessions.js";

const capabilities = ["CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETUID"];

export const ground: ExecGround = {
  init: {
    terminal: false,
    user: { uid: 0, gid: 0, additionalGids: [0] },
    args: [],
    env: ["PATH=/tmp", "HOME=/root", "OWN=sandbox"],
    cwd: "/",
    capabilities: {
      bounding: capabilities,
      effective: capabilities,
      permitted: capabilities,
      inheritable: [],
      ambient: [],
    },
    rlimits: [],
    noNewPrivileges: false,
  },
  given: new Set(["OWN"]),
  supplementalGroups: [],
  database: {
    passwd: "root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/sh\n",
    group: "root:x:0:\nagent:x:1000:\nextra:x:2000:agent\n",
  },
};

/** A session that does nothing, for others to run in. Answers with its id. */
export async function idleSession(box: Box, bench: BoxBench): Promise<string> {
  const spec = (root: string): object => {
    const { mounts, ...rest } = busyboxSpec(root, "mkdir /tmp/dir; echo ready; while :; do sleep 1000; done");
    const pts = {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["newinstance", "ptmxmode=0666", "mode=0620"],
    };
    const dev = { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] };
    return { ...rest, mounts: [...(Array.isArray(mounts) ? Array.from<unknown>(mounts) : []), dev, pts] };
  };
  const { id } = await startSession(box, bench, { spec });
  for await (const { data } of box.agent.output({ sessionId: id, execId: "" }, 0n, true, within(30_000))) {
    if (Buffer.from(data).includes("ready")) break;
  }
  return id;
}

export function execsOf(box: Box, sessionId: string): DetachedExecs {
  return detachedExecsIn(
    sessionId,
    () => Promise.resolve(box),
    () => Promise.resolve(ground),
  );
}

export async function openIn(
  directory: string,
  execs: DetachedExecs,
  limits: Partial<ProcessLimits> = {},
): Promise<SandboxProcesses> {
  return await SandboxProcesses.open(join(directory, "processes"), execs, createLogger("error"), limits);
}

export function wanted(args: readonly string[], over: Partial<ProcessWanted> = {}): ProcessWanted {
  return { args, env: {}, workingDir: "", user: "", stdin: false, tag: "", limitMs: 0, ...over };
}

export function shell(script: string, over: Partial<ProcessWanted> = {}): ProcessWanted {
  return wanted(["sh", "-c", script], over);
}

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly lost: number;
  readonly exit: ProcessExit | undefined;
}

export async function collect(events: AsyncIterable<ProcessEvent>): Promise<Outcome> {
  const parts: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
  let lost = 0;
  let exit: ProcessExit | undefined;
  for await (const event of events) {
    if (event.kind === "output") parts[event.stream].push(Buffer.from(event.data));
    else if (event.kind === "lost") lost += event.bytes;
    else exit = event.exit;
  }
  const [stdout, stderr] = [parts.stdout, parts.stderr].map((all) => Buffer.concat(all).toString("latin1"));
  return { stdout: stdout ?? "", stderr: stderr ?? "", lost, exit };
}

/** From its start to its exit, as a client that waits. */
export async function run(processes: Processes, process: ProcessWanted): Promise<Outcome> {
  const { id } = await processes.start(process, within(20_000));
  return await collect(processes.connect(id, "start", within(60_000)));
}

/** Reads until the text has come, and goes. */
export async function seen(processes: Processes, id: number, text: string): Promise<void> {
  let all = "";
  for await (const event of processes.connect(id, "start", within(20_000))) {
    if (event.kind === "output") all += Buffer.from(event.data).toString("latin1");
    if (all.includes(text)) return;
  }
  throw new Error(`it has ended without "${text}": ${all}`);
}
