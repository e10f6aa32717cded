import { rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, RuntimeError } from "../base/errors.js";
import { createLogger } from "../base/log.js";
import { namesIn } from "../base/names-in.js";
import { neverAborted } from "../base/signals.js";
import { operation } from "../base/stage.js";
import type { Config } from "../config/config.js";
import { loadConfig } from "../config/load.js";
import type { Deps } from "../cri/deps.js";
import { loadNative } from "../native/addon.js";
import { removeSandbox } from "../runtime/pod/end.js";
import { recover } from "../runtime/recovery.js";
import { configFlags, exitStatus, parseFlags, usageError } from "./command.js";
import { openParts } from "./open-parts.js";
import { lockDirectory } from "./root-lock.js";
import { isServedWithin, leaveGroups } from "./unserved.js";

const onePodLimitMs = 180_000;
const longestWaitSeconds = 86_400;

/**
 * Ends every pod of a daemon that has gone, and takes away what it had in its two directories. With `--unless-served` it
 * waits first whether another one comes, and then does nothing.
 */
export async function purge(args: string[]): Promise<number> {
  const options = { ...configFlags, "unless-served": { type: "string" }, after: { type: "string" } } as const;
  const { values } = parseFlags({ args, options });
  const config = await loadConfig(values);
  const log = createLogger(config.log.level);
  const { native } = loadNative(config.assets.dir);
  if (values["unless-served"] !== undefined) {
    const seconds = wholeOf("--unless-served", values["unless-served"], longestWaitSeconds);
    const pid = wholeOf("--after", values.after ?? "", Number.MAX_SAFE_INTEGER);
    if (await isServedWithin(config.root, pid, seconds * 1000, neverAborted)) return exitStatus.ok;
    log.info({ seconds }, "no other daemon has come: all sandboxes end, and images and records go");
  }
  const locks = [await lockDirectory(native, config.root, "root"), await lockDirectory(native, config.state, "state")];
  const closing = new AbortController();
  const deps = await openParts(withoutMore(config), log, native, closing.signal);
  await recover(deps);
  const left = await endAll(deps);
  closing.abort();
  if (left > 0) {
    throw new RuntimeError("unavailable", `${left} pods could not be ended: they, images and records stay`, {
      hint: "the log above says why; run it again",
    });
  }
  for (const directory of [config.root, config.state]) await empty(directory);
  for (const lock of locks) lock.close();
  await leaveGroups(config);
  log.info({ root: config.root, state: config.state }, "all is gone");
  return native.exitNow(exitStatus.ok);
}

function wholeOf(flag: string, text: string, most: number): number {
  const number = Number(text);
  if (!/^\d{1,16}$/.test(text) || number > most) throw usageError(`${flag} wants a number up to ${most}`);
  return number;
}

/** Nothing new is made: no ready Box, no template. */
function withoutMore(config: Config): Config {
  const handlers = Object.entries(config.handlers).map(([name, handler]) => [name, { ...handler, ready: [] }] as const);
  return { ...config, handlers: Object.fromEntries(handlers), sandbox: { ...config.sandbox, start: "boot" } };
}

/** How many could not be ended. */
async function endAll(deps: Deps): Promise<number> {
  const { closing, log, sandboxes } = deps;
  let left = 0;
  for (const pod of sandboxes.all()) {
    try {
      await operation(`end pod ${pod.id}`, onePodLimitMs, closing, async (signal) => {
        await sandboxes.locks.run(pod.id, signal, () => removeSandbox(pod, deps, signal));
      });
    } catch (thrown) {
      left += 1;
      log.error({ sandboxId: pod.id, err: messageOf(thrown) }, "pod could not be ended");
    }
  }
  return left;
}

/** The directory itself may be a mount. */
async function empty(directory: string): Promise<void> {
  for (const name of await namesIn(directory)) await rm(join(directory, name), { recursive: true, force: true });
}
