/** `bench overhead`: what a pod takes of the node beside its containers, for `overhead.podFixed` of RuntimeClasses. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { monotonicMs } from "../src/base/clock.js";
import { sleep } from "../src/base/stage.js";
import { runtime } from "../test/support/cri-client.js";
import { Daemon } from "../test/support/daemon.js";
import { busybox } from "../test/support/images.js";
import { boxProcesses } from "../test/support/machine.js";
import { exited, removePod, runPod, shell, startContainer, type Pod } from "../test/support/pods.js";
import { projectDirectory } from "../test/support/project.js";
import { ownRssKib } from "./idle-memory.js";
import { machineFacts, percentile, row, type Report, type Row } from "./report.js";
import { ticks } from "./ticks.js";

/** Those of deploy/handlers.toml, and the memory of their Box for a pod without limits; 0: there is none. */
const handlers = { microvm: 2048, "microvm-large": 8192, native: 0 } as const;
const idleMs = 5_000;
const loadLimitMs = 300_000;

/** Processes, files over the share, and memory: what lets a VMM, its file server and its translated code grow. */
const load = [
  "for f in $(find /bin /etc -type f | head -100); do sha256sum $f; done >/dev/null",
  "i=0; while [ $i -lt 100 ]; do sh -c true; i=$((i+1)); done",
  "dd if=/dev/zero of=/big bs=1M count=32 2>/dev/null; cat /big | gzip | gunzip | md5sum >/dev/null; rm /big",
].join("; ");

interface Measured {
  readonly guestMib: number[];
  readonly hostMib: number[];
  readonly idleMilliCpus: number[];
}

export async function benchOverhead({ runs }: { readonly runs: number }): Promise<Report> {
  const config = await readFile(join(projectDirectory, "deploy/handlers.toml"), "utf8");
  const daemon = await Daemon.start({ images: [await busybox()], config });
  try {
    const rows: Row[] = [];
    for (const [handler, memoryMib] of Object.entries(handlers)) {
      const into: Measured = { guestMib: [], hostMib: [], idleMilliCpus: [] };
      for (let turn = 0; turn < runs; turn++) await onePod(daemon, handler, memoryMib, into);
      rows.push(...rowsOf(handler, into));
    }
    const { info } = await daemon.cri.call(runtime.status, { verbose: true });
    return { bench: "overhead", machine: machineFacts(info["driver"] ?? ""), rows, ratios: [] };
  } finally {
    await daemon.remove();
  }
}

function rowsOf(handler: string, { guestMib, hostMib, idleMilliCpus }: Measured): Row[] {
  const most = (values: readonly number[]): number => percentile(values, 100);
  return [
    row(`${handler}: guest memory that containers can't have`, "MiB", guestMib),
    row(`${handler}: host memory beside the guest's`, "MiB", hostMib),
    row(`${handler}: CPU while idle`, "m", idleMilliCpus),
    row(`${handler}: podFixed.memory`, "Mi", [podFixedMib(most(guestMib), most(hostMib))]),
  ];
}

/** A tenth more than was seen, in steps of 16 MiB. */
function podFixedMib(guestMib: number, hostMib: number): number {
  return Math.ceil(((guestMib + hostMib) * 1.1) / 16) * 16;
}

async function onePod(daemon: Daemon, handler: string, memoryMib: number, into: Measured): Promise<void> {
  const pod = await runPod(daemon, { linux: { resources: {} } }, handler);
  try {
    const container = await startContainer(daemon, pod, { command: ["sleep", "1000000"] });
    const free = Number(/^MemAvailable: +(\d+) kB$/m.exec(await shell(daemon, container, "cat /proc/meminfo"))?.[1]);
    into.guestMib.push(memoryMib === 0 ? 0 : memoryMib - free / 1024);
    into.idleMilliCpus.push(await idleMilliCpus(daemon, pod));
    await exited(daemon, await startContainer(daemon, pod, { command: ["sh", "-c", load] }), loadLimitMs);
    let hostKib = 0;
    for (const pid of await runtimeProcesses(daemon, pod)) hostKib += await ownRssKib(pid);
    into.hostMib.push(hostKib / 1024);
  } finally {
    await removePod(daemon, pod);
  }
}

/** VMM and file server, or the agent of a pod of the host: no container's, all of the pod's cgroup. */
async function runtimeProcesses(daemon: Daemon, { id }: Pod): Promise<number[]> {
  const pids: number[] = [];
  for (const { pid, name } of await boxProcesses(daemon.scope)) {
    const isRuntime = /^(qemu-system|virtiofsd|a3s-box-launcher|agent)/.test(name);
    const cgroup = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
    if (isRuntime && cgroup.includes(id)) pids.push(pid);
  }
  if (pids.length === 0) throw new Error(`pod ${id} has no process`);
  return pids;
}

async function idleMilliCpus(daemon: Daemon, pod: Pod): Promise<number> {
  const pids = await runtimeProcesses(daemon, pod);
  const before = await ticks(pids);
  const beganMs = monotonicMs();
  await sleep(idleMs, AbortSignal.timeout(10 * idleMs));
  return ((await ticks(pids)) - before) * 10 * (1000 / (monotonicMs() - beganMs));
}
