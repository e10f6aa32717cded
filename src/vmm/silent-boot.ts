import { readFile, readdir } from "node:fs/promises";
import { codeOf, messageOf, RuntimeError } from "../base/errors.js";
import { nameOf, type BoxProcesses } from "./box-processes.js";
import { printable } from "./console.js";

/** In a message; a VMM has fewer. */
const mostThreads = 16;
/** A VMM's death closes the agent's channel, and is noticed later where the machine is busy: first its memory goes. */
const deathNoticedMs = 2_000;
/** Of a Box that has merely not answered in time. */
const exitNoticedMs = 300;
/** USER_HZ, in which proc_pid_stat(5) counts. */
const ticksPerSecond = 100;

/**
 * What waits for a Box's agent. Where it fails and the Box lives, the error says what is known of it: whether its channel
 * was there (under krun the guest says so), and what the threads of its processes do. A guest that waits for what does not
 * come has them all asleep; one that has too little of the processor has used hardly any; one that is lost in a loop has
 * used it all.
 */
export async function orWhySilent<T>(
  dialable: Promise<void>,
  processes: Pick<BoxProcesses, "exitWithin" | "list">,
  wait: () => Promise<T>,
): Promise<T> {
  const channel = { text: "its channel could not be dialled yet" };
  // That it fails is the channel's to tell.
  void dialable.then(
    () => (channel.text = "its channel could be dialled"),
    () => undefined,
  );
  try {
    return await wait();
  } catch (thrown) {
    const noticedMs = codeOf(thrown) === "unavailable" ? deathNoticedMs : exitNoticedMs;
    if ((await processes.exitWithin(noticedMs)) !== undefined) throw thrown;
    const threads = processes.list.map(async ({ role, pid }) => `${nameOf[role]}: ${await threadsOf(pid)}`);
    const message = [messageOf(thrown), channel.text, ...(await Promise.all(threads))].join("; ");
    throw new RuntimeError(codeOf(thrown), message, { cause: thrown });
  }
}

/** "CPU 0/KVM S 1.2 s kvm_vcpu_block, …": name, state, time of the processor, and where in the kernel it waits. */
async function threadsOf(pid: number): Promise<string> {
  const tasks = `/proc/${pid}/task`;
  const ids = await readdir(tasks).catch(() => []);
  if (ids.length === 0) return "gone";
  const threads = await Promise.all(ids.slice(0, mostThreads).map((id) => threadOf(`${tasks}/${id}`)));
  const more = ids.length > mostThreads ? [`${ids.length - mostThreads} more`] : [];
  return [...threads, ...more].join(", ");
}

async function threadOf(directory: string): Promise<string> {
  const [stat, place] = await Promise.all(
    ["stat", "wchan"].map((name) => readFile(`${directory}/${name}`, "utf8").catch(() => "")),
  );
  // "PID (NAME) STATE …": the name may have spaces and parentheses in it.
  const [, name = "?", rest = ""] = /\((.*)\) (.*)/s.exec(stat ?? "") ?? [];
  const fields = rest.split(" ");
  const seconds = (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / ticksPerSecond;
  const where = place === undefined || place === "" || place === "0" ? "" : ` ${place}`;
  return printable(`${name} ${fields[0] ?? "?"} ${seconds.toFixed(1)} s${where}`);
}
