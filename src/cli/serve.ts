import { once, setMaxListeners } from "node:events";
import { messageOf } from "../base/errors.js";
import { lateStepsNow, tellLateSteps } from "../base/hold.js";
import { createLogger, type Logger } from "../base/log.js";
import { monotonicMs } from "../base/clock.js";
import { packageVersion } from "../base/version.js";
import type { Config } from "../config/config.js";
import { type ConfigFlags, loadConfig } from "../config/load.js";
import { loadNative, type Native } from "../native/addon.js";
import type { Deps } from "../cri/deps.js";
import { type CriServer, serveCri } from "../cri/grpc/server.js";
import { recover } from "../runtime/recovery.js";
import { openRuntimeApi } from "../sandboxes/in-pod/open.js";
import { type AgentsEdge, openAgentsEdge } from "./agents-edge.js";
import { exitStatus } from "./command.js";
import { goOutside } from "./go-outside.js";
import { makeTokenFile } from "./make-token.js";
import { openMetricsEndpoint } from "./metrics-endpoint.js";
import { openAgentSkills } from "./agent-skills.js";
import { openModelGateway } from "./model-gateway.js";
import { openParts } from "./open-parts.js";
import { lockDirectory } from "./root-lock.js";
import { serveFlags } from "./serve-flags.js";
import { Supervisor } from "./supervisor.js";
import { startWaiter } from "./unserved.js";

/** Calls under way get this long at shutdown. */
const callGraceMs = 10_000;
/** Creations that did not make it undo themselves within this. */
const undoGraceMs = 20_000;
/** Logs are flushed and channels closed within this; a disk that hangs takes longer than anybody waits. */
const closeGraceMs = 10_000;

/** The daemon: opens the parts, serves until SIGTERM or SIGINT. Boxes live on after it. */
export async function serve(args: string[]): Promise<number> {
  const flags = serveFlags(args);
  const config = await loadConfig(flags);
  process.umask(0o022);
  const log = createLogger(config.log.level);
  exitOnBugs(log);
  logLateSteps(log);
  const startedMs = monotonicMs();
  const stopSignal = firstSignal(["SIGTERM", "SIGINT"]);
  const { native } = loadNative(config.assets.dir);
  await goOutside(config, native, log);
  const locks = [await lockDirectory(native, config.root, "root"), await lockDirectory(native, config.state, "state")];
  await makeToken(flags, log);
  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // each sandbox may wait on it
  const deps = await openParts(config, log, native, closing.signal);
  let trouble: string | undefined = "starting";
  const endpoint = await openMetricsEndpoint(deps, () => trouble);
  const [models] = await Promise.all([openModelGateway(deps), openAgentSkills(deps)]);
  const serving = openEdges(deps, () => trouble);
  const recovered = recover(deps, serving);
  const edges = await serving;
  trouble = undefined;
  const supervisor = new Supervisor(native, log);
  supervisor.ready();
  log.info(
    {
      version: packageVersion(),
      listen: config.cri.enabled ? `unix://${config.socketPath}` : "off",
      ...{ driver: deps.boxes.driver, reason: deps.boxes.reason },
      startMs: Math.round(monotonicMs() - startedMs),
    },
    "serving",
  );

  log.info({ signal: await stopSignal }, "shutting down; boxes live on");
  trouble = "shutting down";
  supervisor.stopping();
  deps.events.close(); // a subscription has no end of its own
  await Promise.all([
    edges.cri?.close(callGraceMs),
    atMost(callGraceMs, edges.sandboxes.close(callGraceMs)),
    atMost(callGraceMs, deps.streaming.close()),
    atMost(callGraceMs, models.close(AbortSignal.timeout(callGraceMs))),
    atMost(callGraceMs, Promise.all([edges.sandboxes.idle(), deps.sandboxCreations.idle()])),
  ]);
  closing.abort();
  await atMost(undoGraceMs, Promise.all([settled(deps, edges), recovered]));
  await atMost(closeGraceMs, edges.sandboxes.leave());
  await atMost(closeGraceMs, closeParts(deps, endpoint));
  const goOn = lateStepsNow();
  if (goOn.length > 0) log.warn({ steps: goOn }, "steps that do not end are left; the next daemon looks after them");
  await leaveToWaiter(config, flags, native, log);
  for (const lock of locks) lock.close();
  supervisor.close();
  log.info({}, "stopped");
  // Channels to the agents of living Boxes would keep the process, and so would a thread in a call that never ends.
  return native.exitNow(exitStatus.ok);
}

/** At the first start, where the environment names a file that is not there. */
async function makeToken({ token }: ConfigFlags, log: Logger): Promise<void> {
  if (token === undefined || !("token_file" in token)) return;
  const file = token.token_file;
  if (await makeTokenFile(file)) log.info({ file }, "made a token: the command `token` shows it");
}

/** Before the directories are free: the next daemon is not to come between. */
async function leaveToWaiter(config: Config, flags: ConfigFlags, native: Native, log: Logger): Promise<void> {
  const { unservedMs } = config.sandboxes;
  if (unservedMs === 0) return;
  const given = (["config", "root", "state"] as const).flatMap((name) => {
    const value = flags[name];
    return value === undefined ? [] : [`--${name}`, value];
  });
  const wait = ["--unless-served", String(Math.ceil(unservedMs / 1000)), "--after", String(process.pid)];
  try {
    const pid = await startWaiter(config, ["purge", ...given, ...wait], native);
    log.info({ pid, unservedMs }, "sandboxes live on for that long, unless another daemon serves them");
  } catch (thrown) {
    log.error({ err: messageOf(thrown) }, "nothing waits for the next daemon: sandboxes live on without an end");
  }
}

interface Edges {
  /** Absent where CRI is off. */
  readonly cri: CriServer | undefined;
  readonly sandboxes: AgentsEdge;
  /** The device plugin's work, where there is one: it ends with the daemon. */
  readonly offering: Promise<void> | undefined;
}

/** Resolves when no creation is under way, nothing is made in the background, and kubelet is offered nothing any more. */
async function settled(deps: Deps, { sandboxes, offering }: Edges): Promise<void> {
  const creations = [deps.sandboxCreations.idle(), deps.containers.creations.idle()];
  await Promise.all([sandboxes.idle(), ...creations, deps.boxes.pool.idle(), deps.boxes.idle(), offering]);
}

/** Both, or none. The API within pods comes before them: a pod that is made without it never has it. */
async function openEdges(deps: Deps, health: () => string | undefined): Promise<Edges> {
  const { config } = deps;
  const api = await openRuntimeApi(deps, health);
  let cri: CriServer | undefined;
  try {
    cri = config.cri.enabled ? await serveCri(deps, config.socketPath) : undefined;
    const sandboxes = await openAgentsEdge(deps, api, health);
    return { cri, sandboxes, offering: deps.devicePlugin?.run(deps.closing) };
  } catch (thrown) {
    await Promise.all([cri?.close(0), api.close(AbortSignal.timeout(closeGraceMs))]);
    throw thrown;
  }
}

async function closeParts(deps: Deps, endpoint: Awaited<ReturnType<typeof openMetricsEndpoint>>): Promise<void> {
  await Promise.all([deps.containers.close(), deps.images.close(), deps.egress.close(), endpoint?.close()]);
}

/** A step that was given up says so at once, and once more when it has settled after all. */
function logLateSteps(log: Logger): void {
  tellLateSteps(({ outcome, ...facts }) => {
    if (outcome === "given up") log.warn(facts, "step given up; it goes on, and holds what it is about");
    else log.warn({ ...facts, outcome }, "step that was given up has settled");
  });
}

async function firstSignal(names: readonly NodeJS.Signals[]): Promise<string> {
  return await Promise.race(names.map((name) => once(process, name).then(() => name)));
}

async function atMost(limitMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([work, limit]);
  clearTimeout(timer);
}

/** A bug that nobody caught: the record of it matters more than going on, and Boxes live on. */
function exitOnBugs(log: Logger): void {
  process.on("uncaughtException", (thrown) => {
    log.fatal({ err: messageOf(thrown), stack: thrown.stack }, "uncaught exception");
    process.exit(exitStatus.failed);
  });
  process.on("unhandledRejection", (thrown) => {
    log.error(
      { err: messageOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined },
      "unhandled rejection",
    );
  });
}
