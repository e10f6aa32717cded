import { join } from "node:path";
import { setImmediate as immediate, setTimeout as delay } from "node:timers/promises";
import { monotonicMs, nowNs } from "../base/clock.js";
import { codeOf, messageOf } from "../base/errors.js";
import { onItsOwn } from "../base/hold.js";
import { Limiter } from "../base/limiter.js";
import { namesIn } from "../base/names-in.js";
import { anyOf, neverAborted } from "../base/signals.js";
import { stage } from "../base/stage.js";
import { formerSandboxesDirectory, netnsDirectory, sandboxesDirectory, shortNameDigits } from "../config/paths.js";
import type { RecoveryOutcome } from "../metrics/box-figures.js";
import type { Box, BoxExit } from "../vmm/box.js";
import { boundaryNamed } from "./boundary/boundary-of.js";
import type { Deps } from "./deps.js";
import { recordBoxGone, watchBox, whenRecorded } from "./pod/end.js";
import { keepEgress } from "./pod/egress.js";
import { PodNetwork } from "./pod/network.js";
import { PodFiles, removePodFiles } from "./pod/pod-files.js";
import type { Pod } from "./pod/pod.js";
import { takeUp } from "./pod/take-up.js";
import { eachStray } from "./each-stray.js";

const oneSandboxLimitMs = 60_000;
const straysLimitMs = 60_000;
const pauseLimitMs = 10_000;
const exitLimitMs = 2_000;
/** Guests that are asked at a time: each answers sooner, and none that stands still keeps the others waiting for long. */
const guestsAtOnce = 32;
const turnMs = 1_500;
/** Each runs a node's plugins, which nothing waits for. */
const networkChecksAtOnce = 2;

/** A sandbox has had its turn: it is taken up, or `rest` goes on beside the others. */
interface Turn {
  readonly rest: Promise<void>;
}

interface Recovery {
  readonly deps: Deps;
  readonly guests: Limiter<"guest">;
  readonly networkChecks: Limiter<"check">;
  /** Ends that came while there was no daemon are being recorded. */
  readonly told: Promise<void>[];
}

/**
 * Takes up what an earlier daemon has left, each sandbox on its own, while calls are served already: a READY sandbox
 * gets its Box back or turns NOTREADY, a half-made one is discarded, and so is what belongs to no record. Nothing here
 * stops the daemon. Call it once, before the first call is served; it resolves when all is done. Calls on a sandbox wait
 * for it from the first moment on; the work begins when `served` resolves: it would delay the socket.
 */
export async function recover(deps: Deps, served: Promise<unknown> = Promise.resolve()): Promise<void> {
  const startedMs = monotonicMs();
  const known = deps.sandboxes.all();
  const recovery: Recovery = {
    deps,
    guests: new Limiter({ inAll: guestsAtOnce }),
    networkChecks: new Limiter({ inAll: networkChecksAtOnce }),
    told: [],
  };
  const isServed = served.then(
    () => true,
    () => false, // the daemon ends, with the reason
  );
  let turn = isServed;
  const turns = known.map((sandbox) => {
    const began = turn;
    turn = began.then(nextTurn);
    const had = haveTurn(sandbox, began, recovery);
    sandbox.setSettled(had.then(({ rest }) => rest));
    return had;
  });
  const pods = new Set<string>(known.map(({ id }) => id));
  const pool = isServed.then(async (began) => {
    if (began)
      await tolerant(deps, "take up ready boxes", () => deps.boxes.pool.adopt((id) => pods.has(id), deps.closing));
  });
  const rests = (await Promise.all(turns)).map(({ rest }) => rest);
  if (!(await isServed)) return;
  await pool; // what it has is no stray
  await discardStrays(deps);
  await Promise.all(rests);
  await Promise.all(recovery.told);
  const tookMs = monotonicMs() - startedMs;
  deps.metrics.boxes.recoveryEnded(tookMs);
  deps.log.info({ sandboxes: known.length, tookMs: Math.round(tookMs) }, "recovery done");
}

/** Lets calls that wait be answered before the next sandbox is begun: a hundred at once would keep them waiting. */
async function nextTurn(isServed: boolean): Promise<boolean> {
  await immediate();
  return isServed;
}

/** Finds the Box of a sandbox, which is the host's matter, under its lock; its guest is asked when it is its turn. */
async function haveTurn(sandbox: Pod, began: Promise<boolean>, recovery: Recovery): Promise<Turn> {
  const { deps, guests } = recovery;
  const box = await deps.sandboxes.locks.run(sandbox.id, deps.closing, async () => {
    return (await began) ? await recoverSafely(sandbox, deps) : undefined;
  });
  if (box === undefined) return { rest: Promise.resolve() };
  return await guests.run("guest", neverAborted, async () => {
    const rest = takeUpAwake(sandbox, box, recovery);
    await Promise.race([rest, delay(turnMs, undefined, { ref: false })]);
    return { rest };
  });
}

/** The Box that is to be taken up, where there is one. */
async function recoverSafely(sandbox: Pod, deps: Deps): Promise<Box | undefined> {
  const log = deps.log.child({ sandboxId: sandbox.id });
  try {
    // One that was half made leaves its network: plugins have their own limits.
    const limitMs = oneSandboxLimitMs + deps.config.cni.timeoutMs;
    const found = await stage("recover sandbox", limitMs, deps.closing, (signal) => recoverOne(sandbox, deps, signal));
    if (typeof found !== "string") return found;
    deps.metrics.boxes.recovered(found);
    log.info({ outcome: found }, "sandbox recovered");
  } catch (thrown) {
    deps.metrics.boxes.recovered("failed");
    log.error({ err: messageOf(thrown) }, "sandbox could not be recovered");
    if (sandbox.state === "ready" && sandbox.box === undefined && !deps.closing.aborted) {
      await giveUp(sandbox, deps, messageOf(thrown));
    }
  }
  return undefined;
}

/** A guest that stands still says nothing of its containers: they are taken up when it goes on, and are as recorded until then. */
async function takeUpAwake(sandbox: Pod, box: Box, recovery: Recovery): Promise<void> {
  if (!sandbox.isPaused) {
    await takeUpSafely(sandbox, box, recovery);
    return;
  }
  recovery.deps.log.info({ sandboxId: sandbox.id }, "sandbox is paused; it is taken up when it goes on");
  sandbox.whenAwake(() => {
    sandbox.setSettled(takeUpSafely(sandbox, box, { ...recovery, told: [] }));
  });
}

async function takeUpSafely(sandbox: Pod, box: Box, { deps, networkChecks, told }: Recovery): Promise<void> {
  try {
    deps.servedPorts.takeUp(sandbox, box);
    deps.skills.takeUp(sandbox, box);
  } catch (thrown) {
    deps.log.error({ sandboxId: sandbox.id, err: messageOf(thrown) }, "what the host serves could not be taken up");
  }
  try {
    told.push((await takeUp(sandbox, box, deps)).told);
  } catch (thrown) {
    deps.log.error({ sandboxId: sandbox.id, err: messageOf(thrown) }, "containers could not be taken up");
  }
  void networkChecks.run("check", neverAborted, () => checkNetworkOf(sandbox, deps));
}

/** What a check finds is only told: it gives way to whoever wants the sandbox, plugins of which never run twice at a time. */
async function checkNetworkOf(sandbox: Pod, deps: Deps): Promise<void> {
  try {
    await deps.sandboxes.locks.runUntilWanted(sandbox.id, deps.closing, async (wanted) => {
      if (sandbox.state === "ready") await new PodNetwork(sandbox, deps).check(anyOf(deps.closing, wanted));
    });
  } catch (thrown) {
    if (deps.closing.aborted || codeOf(thrown) === "canceled") return;
    deps.log.warn({ sandboxId: sandbox.id, err: messageOf(thrown) }, "network of a sandbox is not as it was made");
  }
}

/**
 * A Box that can't be taken up again is no READY sandbox: kubelet makes a new one when it sees NOTREADY. Where that can't be
 * recorded nobody else would: it is tried on, and recovery goes on meanwhile.
 */
async function giveUp(sandbox: Pod, deps: Deps, reason: string): Promise<void> {
  const end = { atNs: nowNs(), reason: `not found again after a restart: ${reason}` };
  await tolerant(deps, "give sandbox up", () => recordBoxGone(sandbox, end, deps));
  const late = async (): Promise<void> => {
    if (deps.sandboxes.has(sandbox.id) && sandbox.state === "ready") await recordBoxGone(sandbox, end, deps);
  };
  if (sandbox.state === "ready") void onItsOwn(() => whenRecorded(sandbox, late, deps));
}

/** What became of it, or the Box that lives on. */
async function recoverOne(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<RecoveryOutcome | Box> {
  const { boxes, podContainers, sandboxes } = deps;
  switch (sandbox.state) {
    case "creating": {
      const network = new PodNetwork(sandbox, deps);
      await boxes.discard(sandbox.id, sandbox.record.box, signal);
      await network.leaveHalfJoined(signal);
      await network.removeNetns();
      await new PodFiles(sandbox, deps.native).remove();
      await sandboxes.remove(sandbox.id);
      return "discarded";
    }
    case "ready":
      return (await adoptBox(sandbox, deps, signal)) ?? "lost";
    case "notReady":
      sandbox.endTold = true;
      await boxes.discard(sandbox.id, sandbox.record.box, signal);
      await podContainers.recoverEndOf(sandbox);
      return "notReady";
  }
}

async function adoptBox(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<Box | undefined> {
  const handle = sandbox.record.box;
  const box = handle === undefined ? null : await deps.boxes.adopt(sandbox.id, handle, signal);
  const gone = { atNs: nowNs(), reason: "its box was gone when the daemon started" };
  const isGivenUp = sandbox.state !== "ready"; // meanwhile, and told of: what is found after that is nobody's
  const isOver = box === null || isGivenUp;
  const end = isOver ? gone : sandbox.isPaused ? await pauseAgain(box, signal) : undefined;
  if (box === null || end !== undefined) {
    await recordBoxGone(sandbox, end ?? gone, deps);
    await deps.podContainers.recoverEndOf(sandbox);
    return undefined;
  }
  sandbox.setBox(box);
  watchBox(sandbox, box, deps);
  await keepEgress(sandbox, deps, signal);
  const files = new PodFiles(sandbox, deps.native);
  if (boundaryNamed(sandbox.record.boundary).hasGuestLink && (await files.restore(sandbox.record.network))) {
    deps.log.info({ sandboxId: sandbox.id }, "files of the pod made anew: they were a mount of another container");
  }
  return box;
}

/** The dead daemon may have died between the record and the act. Its exit, of a Box that died before it stood still. */
async function pauseAgain(box: Box, signal: AbortSignal): Promise<BoxExit | undefined> {
  try {
    await stage("pause box", pauseLimitMs, signal, (limit) => box.pause(limit));
    return box.exit;
  } catch (thrown) {
    // Its end may be heard of later than the channel to it breaks.
    const end = await Promise.race([box.exited, delay(exitLimitMs, undefined, { ref: false })]);
    if (end === undefined) throw thrown;
    return end;
  }
}

/** Boxes, namespaces, files and containers that no record names. Those of creations under way have one. */
async function discardStrays(deps: Deps): Promise<void> {
  const { boxes, config, log, native } = deps;
  await tolerant(deps, "discard stray boxes", async (signal) => {
    await eachStray(await boxes.listDirectories(), signal, log, async (id, limit) => {
      if (deps.sandboxes.has(id) || boxes.pool.ids().includes(id)) return;
      log.warn({ sandboxId: id }, "box without a record discarded");
      await boxes.discard(id, undefined, limit);
    });
  });
  await tolerant(deps, "discard stray namespaces", async (signal) => {
    await eachStray(await namesIn(netnsDirectory(config)), signal, log, async (name) => {
      const owners = [...deps.sandboxes.all().map(({ id }) => id), ...boxes.pool.ids()];
      const owned = owners.some((id) => id.slice(0, shortNameDigits) === name);
      if (!owned) await native.removeNetns(join(netnsDirectory(config), name));
    });
  });
  await tolerant(deps, "discard stray pod files", async (signal) => {
    for (const parent of [sandboxesDirectory(config), formerSandboxesDirectory(config)]) {
      await eachStray(await namesIn(parent), signal, log, async (name) => {
        const owned = deps.sandboxes.all().some(({ directory }) => directory === join(parent, name));
        if (!owned) await removePodFiles(join(parent, name), native);
      });
    }
  });
  await tolerant(deps, "collect garbage of networks", (signal) => {
    const members = deps.sandboxes.all().filter(({ record }) => record.network !== undefined);
    return deps.networks.collectGarbage(
      members.map(({ id }) => ({ containerId: id })),
      signal,
    );
  });
  await tolerant(deps, "discard stray containers", (signal) => deps.podContainers.discardStrays(signal));
}

async function tolerant(deps: Deps, name: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  try {
    await stage(name, straysLimitMs, deps.closing, work);
  } catch (thrown) {
    deps.log.error({ stage: name, err: messageOf(thrown) }, "recovery step failed");
  }
}
