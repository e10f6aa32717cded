import { join } from "node:path";
import { setImmediate as immediate } from "node:timers/promises";
import { monotonicMs, nowNs } from "../base/clock.js";
import { messageOf } from "../base/errors.js";
import { namesIn } from "../base/names-in.js";
import { sleep, stage } from "../base/stage.js";
import { netnsFolder, sandboxesFolder, shortNameDigits } from "../config/paths.js";
import type { RecoveryOutcome } from "../metrics/box-figures.js";
import type { Box } from "../vmm/box.js";
import type { Deps } from "./deps.js";
import { recordBoxGone, watchBox } from "./sandbox/end.js";
import { checkNetwork, leaveHalfJoined, removeNetns } from "./sandbox/network.js";
import { removePodFiles } from "./sandbox/pod-files.js";
import type { Sandbox } from "./sandbox/sandbox.js";

const oneSandboxLimitMs = 60_000;
/** Before a guest that did not answer is asked again. */
const retryMs = 1_000;
const straysLimitMs = 60_000;

/**
 * Takes up what an earlier daemon has left, each sandbox on its own, while calls are served already: a READY sandbox
 * gets its Box back or turns NOTREADY, a half-made one is discarded, and so is what belongs to no record. Nothing here
 * stops the daemon. Call it once, before the first call is served; it resolves when all is done. Calls on a sandbox wait
 * for its turn from the first moment on; the work begins when `served` resolves: it would delay the socket.
 */
export async function recover(deps: Deps, served: Promise<unknown> = Promise.resolve()): Promise<void> {
  const startedMs = monotonicMs();
  const known = deps.sandboxes.all();
  const isServed = served.then(
    () => true,
    () => false, // the daemon ends, with the reason
  );
  let turn = isServed;
  const work = known.map((sandbox) => {
    const began = turn;
    turn = began.then(nextTurn);
    const settled = deps.sandboxes.locks.run(sandbox.id, async () => {
      if (await began) await recoverSafely(sandbox, deps);
    });
    sandbox.setSettled(settled);
    return settled;
  });
  await Promise.all(work);
  if (!(await isServed)) return;
  const adoptedMs = monotonicMs() - startedMs;
  await discardStrays(deps);
  const tookMs = monotonicMs() - startedMs;
  deps.metrics.boxes.recoveryEnded(tookMs);
  deps.log.info(
    { sandboxes: known.length, adoptedMs: Math.round(adoptedMs), tookMs: Math.round(tookMs) },
    "recovery done",
  );
}

/** Lets calls that wait be answered before the next sandbox is begun: a hundred at once would keep them waiting. */
async function nextTurn(isServed: boolean): Promise<boolean> {
  await immediate();
  return isServed;
}

async function recoverSafely(sandbox: Sandbox, deps: Deps): Promise<void> {
  const log = deps.log.child({ sandboxId: sandbox.id });
  try {
    const outcome = await stage("recover sandbox", oneSandboxLimitMs, deps.closing, (signal) =>
      recoverOne(sandbox, deps, signal),
    );
    deps.metrics.boxes.recovered(outcome);
    log.info({ outcome }, "sandbox recovered");
  } catch (thrown) {
    const { box } = sandbox;
    if (sandbox.state === "ready" && box !== undefined && !deps.closing.aborted) {
      log.warn({ err: messageOf(thrown) }, "the Box lives, its containers can't be taken up yet");
      void takeUpLater(sandbox, box, deps);
      return;
    }
    deps.metrics.boxes.recovered("failed");
    log.error({ err: messageOf(thrown) }, "sandbox could not be recovered");
    if (sandbox.state === "ready" && sandbox.box === undefined && !deps.closing.aborted) {
      await tolerant(deps, "give sandbox up", () => giveUp(sandbox, deps, messageOf(thrown)));
    }
  }
}

/**
 * A guest that is too busy to answer is still a pod: its containers are asked for again until it does, or until its Box is
 * over, which the watch over its health sees to. The lock is free in between: the pod can be stopped.
 */
async function takeUpLater(sandbox: Sandbox, box: Box, deps: Deps): Promise<void> {
  const log = deps.log.child({ sandboxId: sandbox.id });
  const lives = (): boolean => sandbox.state === "ready" && box.exit === undefined && !deps.closing.aborted;
  for (let isDone = false; !isDone;) {
    await sleep(retryMs, deps.closing).catch(() => undefined);
    isDone = await deps.sandboxes.locks.run(sandbox.id, async () => {
      if (!lives()) return true;
      try {
        await stage("take up containers", oneSandboxLimitMs, deps.closing, (signal) => takeUp(sandbox, deps, signal));
        deps.metrics.boxes.recovered("adopted");
        log.info({ outcome: "adopted" }, "sandbox recovered");
        return true;
      } catch (thrown) {
        log.debug({ err: messageOf(thrown) }, "containers can't be taken up yet");
        return false;
      }
    });
  }
}

/** A Box that can't be taken up again is no READY sandbox: kubelet makes a new one when it sees NOTREADY. */
async function giveUp(sandbox: Sandbox, deps: Deps, reason: string): Promise<void> {
  await recordBoxGone(sandbox, { atNs: nowNs(), reason: `not found again after a restart: ${reason}` }, deps);
}

async function recoverOne(sandbox: Sandbox, deps: Deps, signal: AbortSignal): Promise<RecoveryOutcome> {
  const { boxes, containers, sandboxes } = deps;
  switch (sandbox.state) {
    case "creating":
      await boxes.discard(sandbox.id, sandbox.record.box, signal);
      await leaveHalfJoined(sandbox, deps, signal);
      await removeNetns(sandbox, deps);
      await removePodFiles(sandbox.folder);
      await sandboxes.remove(sandbox.id);
      return "discarded";
    case "ready":
      if (await adoptBox(sandbox, deps, signal)) return "adopted";
      await containers.recoverOf(sandbox, signal);
      return "lost";
    case "notReady":
      sandbox.endTold = true;
      await boxes.discard(sandbox.id, sandbox.record.box, signal);
      await containers.recoverOf(sandbox, signal);
      return "notReady";
  }
}

async function adoptBox(sandbox: Sandbox, deps: Deps, signal: AbortSignal): Promise<boolean> {
  const handle = sandbox.record.box;
  const box = handle === undefined ? null : await deps.boxes.adopt(sandbox.id, handle, signal);
  if (box === null) {
    await recordBoxGone(sandbox, { atNs: nowNs(), reason: "its box was gone when the daemon started" }, deps);
    return false;
  }
  sandbox.setBox(box);
  try {
    await takeUp(sandbox, deps, signal);
  } finally {
    watchBox(sandbox, box, deps);
  }
  return true;
}

async function takeUp(sandbox: Sandbox, deps: Deps, signal: AbortSignal): Promise<void> {
  await deps.containers.recoverOf(sandbox, signal);
  await checkNetwork(sandbox, deps, signal).catch((thrown: unknown) => {
    deps.log.warn({ sandboxId: sandbox.id, err: messageOf(thrown) }, "network of a sandbox is not as it was made");
  });
}

/** Boxes, namespaces, files and containers that no record names. Those of creations under way have one. */
async function discardStrays(deps: Deps): Promise<void> {
  const { boxes, config, native } = deps;
  await tolerant(deps, "discard stray boxes", async (signal) => {
    for (const id of await boxes.listFolders()) {
      if (deps.sandboxes.has(id)) continue;
      deps.log.warn({ sandboxId: id }, "box without a record discarded");
      await boxes.discard(id, undefined, signal);
    }
  });
  await tolerant(deps, "discard stray namespaces", async () => {
    for (const name of await namesIn(netnsFolder(config))) {
      const owned = deps.sandboxes.all().some(({ id }) => id.slice(0, shortNameDigits) === name);
      if (!owned) await native.removeNetns(join(netnsFolder(config), name));
    }
  });
  await tolerant(deps, "discard stray pod files", async () => {
    for (const name of await namesIn(sandboxesFolder(config))) {
      const owned = deps.sandboxes.all().some(({ id }) => id === name);
      if (!owned) await removePodFiles(join(sandboxesFolder(config), name));
    }
  });
  await tolerant(deps, "collect garbage of networks", (signal) => {
    const members = deps.sandboxes.all().filter(({ record }) => record.network !== undefined);
    return deps.networks.collectGarbage(
      members.map(({ id }) => ({ containerId: id })),
      signal,
    );
  });
  await tolerant(deps, "discard stray containers", (signal) => deps.containers.discardStrays(signal));
}

async function tolerant(deps: Deps, name: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  try {
    await stage(name, straysLimitMs, deps.closing, work);
  } catch (thrown) {
    deps.log.error({ stage: name, err: messageOf(thrown) }, "recovery step failed");
  }
}
