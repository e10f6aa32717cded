import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf, RuntimeError } from "../../src/base/errors.js";
import { imageName, interpreterCommand, templateNames } from "../images/build.js";
import type { SetupContext } from "../setup/run.js";
import { QuickDaemon } from "./daemon.js";
import { removePods } from "./pod.js";
import { makeScratch, removeScratch } from "./scratch.js";

const healthLimitMs = 30_000;
const healthPollMs = 50;

export interface ServeWish {
  readonly driver: string;
  /** Of the loopback; where nothing else listens. */
  readonly port: number;
  /** Called once it is served. */
  readonly served?: () => void;
}

/** The runtime with the images of the templates, for clients on this machine, until the signal; then all of it goes. */
export async function serveSandboxes(context: SetupContext, { driver, port, served }: ServeWish): Promise<number> {
  const scratch = await makeScratch();
  const daemon = new QuickDaemon(context, scratch);
  try {
    for (const name of templateNames) {
      context.say(`bringing in the image of ${name}`);
      await daemon.importImage(join(context.root, "build/assets/templates", `${name}.tar`), context.signal);
    }
    const config = join(scratch, "config.toml");
    await writeFile(config, configuration(port));
    context.say("starting the runtime");
    await daemon.start(driver, ["--config", config]);
    const url = `http://localhost:${String(port)}`;
    await healthy(url, context.signal);
    context.say(`sandboxes are served at ${url}, until Ctrl-C, which ends them all`);
    context.say("what to do with them in another terminal: docs/guide/first-sandbox.md");
    served?.();
    await daemon.runUntil(context.signal);
    return 0;
  } catch (thrown) {
    if (context.signal.aborted) return 130;
    const log = await daemon.logTail();
    throw new RuntimeError("internal", `${messageOf(thrown)}\nlast lines of the daemon's log:\n${log}`, {
      cause: thrown,
    });
  } finally {
    context.say("cleaning up");
    await removePods(daemon.cri).catch((thrown: unknown) => {
      context.say(`the sandboxes could not be removed through CRI: ${messageOf(thrown)}`);
    });
    await daemon.stop();
    for (const remark of await removeScratch(scratch)) context.say(remark);
  }
}

/** The port of sandboxes opens some time after kubelet's. */
async function healthy(url: string, signal: AbortSignal): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(healthLimitMs)]);
  for (;;) {
    const answer = await fetch(`${url}/v1/health`, { signal: limit }).catch(() => undefined);
    if (answer?.ok === true) return;
    if (limit.aborted) throw new RuntimeError("deadlineExceeded", `nothing answers at ${url}/v1/health`);
    await delay(healthPollMs);
  }
}

/** As docs/guide/templates.md has it for a node. */
function configuration(port: number): string {
  return [
    "[sandboxes]",
    `listen = ["tcp://127.0.0.1:${String(port)}"]`,
    "[templates.base]",
    `image = "${imageName("base")}"`,
    "[templates.code-interpreter-v1]",
    `image = "${imageName("code-interpreter-v1")}"`,
    `start_command = ${JSON.stringify(interpreterCommand)}`,
    'ready_command = ["curl", "-fs", "http://127.0.0.1:49999/health"]',
    "",
  ].join("\n");
}
