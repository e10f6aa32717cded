/** `node keep`: what a pod of the chart does on its node, in mode cri (docs/adr/0122). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { monotonicMs } from "../../base/clock.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { createLogger, type Logger } from "../../base/log.js";
import { anyOf } from "../../base/signals.js";
import { sleep } from "../../base/stage.js";
import { someoneAnswers } from "../../base/unix-socket.js";
import { managerSockets } from "../../vmm/systemd/manager.js";
import { exitStatus, parseFlags, usageError } from "../command.js";
import { unitName } from "../installed-files.js";
import { askNode, until } from "./asked-units.js";
import { type HostUnits, hostUnits } from "./host-units.js";
import { clusterApi, type KubeApi } from "./kube-api.js";
import { namesSaid } from "./in-use.js";
import { criStateOf, isInUse, readNode, tellFirst, tellState, type NodeObject } from "./node-object.js";
import {
  checkUnit,
  inUseUnit,
  isPlaced,
  noteRestarted,
  placeRelease,
  removeRelease,
  type ReleaseOptions,
} from "./release-files.js";
import { removeTrees, spareTrees } from "./release-trees.js";

const serveLimitMs = 130_000;
const stopLimitMs = 60_000;
/** How often it is asked, while a node is made ready, whether an uninstall wants it back. */
const watchMs = 5_000;
/** Releases that something still ran from are looked at again after this. */
const treesRestMs = 600_000;
/** A node that could not be made ready is tried again after this. */
const retryMs = 300_000;
/** An uninstall takes the labels and the pods at once: one that ends a little later must not put back what it took away. */
const restMs = 120_000;
const cri = "/run/a3s-box/cri.sock";

export interface KeepParts {
  readonly api: KubeApi;
  readonly units: HostUnits;
  readonly log: Pick<Logger, "info" | "warn">;
  readonly nodeName: string;
  readonly release: ReleaseOptions;
  readonly watchMs: number;
}

export async function nodeKeep(args: string[]): Promise<number> {
  const text = { type: "string" } as const;
  const options = { host: { ...text, default: "/host" }, config: text, every: { ...text, default: "15" } } as const;
  const { values } = parseFlags({ args, options });
  const everyMs = Number(values.every) * 1000;
  if (!(everyMs >= 1000)) throw usageError("--every wants seconds, 1 at least");
  const nodeName = process.env["NODE_NAME"] ?? "";
  if (nodeName === "") throw usageError("NODE_NAME of the environment must say which node this is");
  const config = values.config === undefined ? undefined : await readFile(values.config, "utf8");
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.once(name, () => {
      stop.abort();
    });
  }
  const release = { host: values.host, tree: join(import.meta.dirname, "../.."), config };
  const units = hostUnits(managerSockets.map((path) => join(values.host, path)));
  const parts = { api: clusterApi(), units, log: createLogger("info"), nodeName, release, watchMs };
  await keep(parts, everyMs, stop.signal);
  return exitStatus.ok;
}

/** Looks at its node again and again until it is told to end, which changes nothing on the node. */
export async function keep(parts: KeepParts, everyMs: number, signal: AbortSignal): Promise<void> {
  const keeper = new NodeKeeper(parts);
  while (!signal.aborted) {
    await keeper.look(signal).catch((thrown: unknown) => {
      if (!signal.aborted) parts.log.warn({ err: messageOf(thrown) }, "look at the node");
    });
    await sleep(everyMs, signal).catch(() => undefined);
  }
}

/** One look at a time. The label of the node, and whether its daemon is to be started anew, is what it remembers over its own end. */
export class NodeKeeper {
  readonly #parts: KeepParts;
  #isPlaced = false;
  #failedAtMs = Number.NEGATIVE_INFINITY;
  #removedAtMs = Number.NEGATIVE_INFINITY;
  #treesAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: KeepParts) {
    this.#parts = parts;
  }

  async look(signal: AbortSignal): Promise<void> {
    const { api, nodeName } = this.#parts;
    const node = await readNode(api, nodeName, signal);
    const state = criStateOf(node);
    if (state === "removed") {
      this.#removedAtMs = monotonicMs();
      return;
    }
    if (state === "removing") {
      await this.#leave(node, signal);
      return;
    }
    if (this.#isPlaced) {
      await tellState(api, node, isInUse(node) ? "active" : "installed", undefined, signal);
      await this.#removeSpare(signal);
      return;
    }
    const restsUntilMs = state === "failed" ? this.#failedAtMs + retryMs : this.#removedAtMs + restMs;
    if (monotonicMs() < restsUntilMs) return;
    // From here on an uninstall sees it. A node that has changed meanwhile is read again at the next look.
    if (state === undefined && !(await tellFirst(api, node, "installing", signal))) return;
    await this.#tryToPlace(signal);
  }

  async #tryToPlace(signal: AbortSignal): Promise<void> {
    const { api, log, nodeName } = this.#parts;
    const why = await this.#unlessRemoving(signal, async (unlessRemoving) => {
      await this.#place(unlessRemoving);
    }).then(
      () => undefined,
      (thrown: unknown) => messageOf(thrown),
    );
    signal.throwIfAborted();
    const node = await readNode(api, nodeName, signal);
    const state = criStateOf(node);
    if (state === "removed") return;
    if (state === "removing") {
      log.info({ err: why }, "an uninstall has asked for the node while it was made ready: that is undone");
      await this.#leave(node, signal);
      return;
    }
    if (why === undefined) this.#isPlaced = true;
    else {
      this.#failedAtMs = monotonicMs();
      log.warn({ err: why }, "the node can't have it");
    }
    if (why === undefined) await tellState(api, node, isInUse(node) ? "active" : "installed", undefined, signal);
    // A node whose pods are this runtime's has an earlier release of it, which goes on.
    else if (!isInUse(node)) await tellState(api, node, "failed", why.slice(0, 1000), signal);
  }

  /** Its signal aborts also when the node is asked for: minutes of copying and checking would be waited for in vain. */
  async #unlessRemoving(parent: AbortSignal, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const [asked, ended] = [new AbortController(), new AbortController()];
    const watch = async (signal: AbortSignal): Promise<void> => {
      const { api, nodeName } = this.#parts;
      while (!signal.aborted) {
        const node = await readNode(api, nodeName, signal).catch(() => undefined);
        if (node !== undefined && criStateOf(node) === "removing") asked.abort();
        await sleep(this.#parts.watchMs, signal).catch(() => undefined);
      }
    };
    const watching = watch(anyOf(parent, ended.signal));
    try {
      await run(anyOf(parent, asked.signal));
    } finally {
      ended.abort();
      await watching;
    }
  }

  /** Success when it is there already, and serves. */
  async #place(signal: AbortSignal): Promise<void> {
    const { log, release, units } = this.#parts;
    const anew = await placeRelease(release, signal);
    await units.reload(signal);
    await this.#check(signal);
    await units.start(unitName, anew, signal);
    const socket = join(release.host, cri);
    const served = (): string => `${cri} is served: journalctl -u ${unitName} has the reason`;
    await until(served, serveLimitMs, signal, () => someoneAnswers(socket));
    await noteRestarted(release);
    log.info({ anew }, "the release is on the node, and serves");
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { release, units } = this.#parts;
    const text = await askNode(units, release.host, checkUnit, signal);
    const [line = "", word] = checkUnit.end.exec(text) ?? [];
    if (word !== "can") throw new RuntimeError("failedPrecondition", line, { stage: "check" });
  }

  /** Of releases before the last one, whose programs Boxes may still have. What keeps them is no fault of the node. */
  async #removeSpare(signal: AbortSignal): Promise<void> {
    const { log, release, units } = this.#parts;
    if (monotonicMs() < this.#treesAtMs + treesRestMs) return;
    const spare = await spareTrees(release.host);
    if (spare.length === 0) return;
    this.#treesAtMs = monotonicMs();
    try {
      const inUse = namesSaid(await askNode(units, release.host, inUseUnit, signal));
      const gone = spare.filter((name) => !inUse.has(name));
      await removeTrees(release.host, gone);
      log.info({ gone, inUse: spare.filter((name) => inUse.has(name)) }, "earlier releases");
    } catch (thrown) {
      log.warn({ err: messageOf(thrown) }, "earlier releases stay");
    }
  }

  async #leave(node: NodeObject, signal: AbortSignal): Promise<void> {
    const { api, log, release, units } = this.#parts;
    this.#isPlaced = false;
    if (isInUse(node)) {
      const reason = "kubelet of this node still has this runtime: give it another one first";
      await tellState(api, node, "active", reason, signal);
      return;
    }
    // A release by hand has a unit of the same name, which goes on.
    if (await isPlaced(release)) await this.#stop(signal);
    await removeRelease(release);
    await units.reload(signal);
    await tellState(api, node, "removed", undefined, signal);
    this.#removedAtMs = monotonicMs();
    log.info({}, "the release is taken away from the node");
  }

  async #stop(signal: AbortSignal): Promise<void> {
    const { log, release, units } = this.#parts;
    for (const unit of [checkUnit.name, unitName]) {
      await units.stop(unit, signal).catch((thrown: unknown) => {
        log.warn({ err: messageOf(thrown) }, "stop the unit"); // one that is not there is no reason to stay
      });
    }
    const socket = join(release.host, cri);
    const ended = (): string => `the daemon has ended: journalctl -u ${unitName} has the reason`;
    await until(ended, stopLimitMs, signal, async () => !(await someoneAnswers(socket)));
  }
}
