import { join } from "node:path";
import { messageOf, RuntimeError } from "../../src/base/errors.js";
import { busyboxImageName } from "../setup/assets/busybox-image.js";
import type { SetupContext } from "../setup/run.js";
import type { Stopwatch } from "../setup/stopwatch.js";
import { type Cri, runtime } from "./cri.js";
import { QuickDaemon } from "./daemon.js";
import { removePods, runPod } from "./pod.js";
import { makeScratch, removeScratch } from "./scratch.js";

export interface Shown {
  readonly output: string;
  readonly exitCode: number;
  /** Which driver, and why. */
  readonly driver: string;
}

const greeting =
  "echo hello from inside the microVM; uname -srm; grep -c ^processor /proc/cpuinfo; head -n 1 /proc/meminfo";
const statusLimitMs = 10_000;

/** Runs the daemon on a scratch directory, a pod in it, and takes everything away again, whatever happens. */
export async function demonstrate(
  context: SetupContext,
  watch: Stopwatch,
  wish: { readonly image: string | undefined; readonly driver: string },
): Promise<Shown> {
  const scratch = await makeScratch();
  const daemon = new QuickDaemon(context, scratch);
  try {
    if (wish.image === undefined) {
      const archive = join(context.root, "build/assets/image/busybox.tar");
      await watch.time("import the image", () => daemon.importImage(archive, context.signal));
    }
    context.say("starting the runtime");
    await watch.time("start the runtime", () => daemon.start(wish.driver));
    const driver = await driverOf(daemon.cri);
    context.say(`running a pod; driver: ${driver}`);
    const pod = { image: wish.image ?? busyboxImageName, pull: wish.image !== undefined, logs: join(scratch, "logs") };
    const command = ["sh", "-c", greeting];
    const result = await runPod(daemon.cri, { ...pod, command }, watch, context.signal);
    return { output: result.output, exitCode: result.exitCode, driver };
  } catch (thrown) {
    if (context.signal.aborted) throw new RuntimeError("canceled", "interrupted", { cause: thrown });
    const log = await daemon.logTail();
    throw new RuntimeError("internal", `${messageOf(thrown)}\nlast lines of the daemon's log:\n${log}`, {
      cause: thrown,
    });
  } finally {
    await watch.time("clean up", () => cleanUp(context, daemon, scratch));
  }
}

async function cleanUp(context: SetupContext, daemon: QuickDaemon, scratch: string): Promise<void> {
  try {
    await removePods(daemon.cri);
  } catch (thrown) {
    context.say(`the pods could not be removed through CRI: ${messageOf(thrown)}`);
  }
  await daemon.stop();
  for (const remark of await removeScratch(scratch)) context.say(remark);
}

/** Status with verbose set tells the driver and the reason for it, as JSON under "driver". */
async function driverOf(cri: Cri): Promise<string> {
  const { info } = await cri.call(runtime.status, { verbose: true }, statusLimitMs);
  const text = info["driver"] ?? "{}";
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== "object" || parsed === null || !("name" in parsed) || !("reason" in parsed)) return text;
  return `${String(parsed.name)}, because: ${String(parsed.reason)}`;
}
