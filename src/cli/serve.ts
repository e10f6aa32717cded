import { once, setMaxListeners } from "node:events";
import { messageOf } from "../base/errors.js";
import { SharedWork } from "../base/shared-work.js";
import type { SandboxId } from "../base/ids.js";
import { lateStepsNow, tellLateSteps } from "../base/hold.js";
import { createLogger, type Logger } from "../base/log.js";
import { monotonicMs } from "../base/clock.js";
import { packageVersion } from "../base/version.js";
import type { Config } from "../config/config.js";
import { loadConfig } from "../config/load.js";
import { openImageStore } from "../image/open-image-store.js";
import { Metrics } from "../metrics/metrics.js";
import { loadNative } from "../native/addon.js";
import { Networks } from "../net/networks.js";
import { ContainerStore } from "../runtime/container/container-store.js";
import { PodContainers } from "../runtime/container/pod-containers.js";
import type { Deps } from "../cri/deps.js";
import { ContainerEvents } from "../runtime/events/container-events.js";
import { containerRecords, sandboxRecords } from "../cri/records/kinds.js";
import { serveCri } from "../cri/grpc/server.js";
import { recover } from "../runtime/recovery.js";
import { SandboxStore } from "../runtime/pod/sandbox-store.js";
import { serveStreaming } from "../streaming/server.js";
import { type BoxFactoryOptions, openBoxFactory } from "../vmm/open-box-factory.js";
import { configFlags, exitStatus, parseFlags } from "./command.js";
import { knownRegistries, openMetricsEndpoint } from "./metrics-endpoint.js";
import { lockFolder } from "./root-lock.js";
import { Supervisor } from "./supervisor.js";

/** Calls under way get this long at shutdown. */
const callGraceMs = 10_000;
/** Creations that did not make it undo themselves within this. */
const undoGraceMs = 20_000;
/** Logs are flushed and channels closed within this; a disk that hangs takes longer than anybody waits. */
const closeGraceMs = 10_000;

/** The daemon: opens the parts, serves until SIGTERM or SIGINT. Boxes live on after it. */
export async function serve(args: string[]): Promise<number> {
  const { values } = parseFlags({ args, options: { ...configFlags, metrics: { type: "string" } } as const });
  const config = await loadConfig(values);
  process.umask(0o022);
  const log = createLogger(config.log.level);
  exitOnBugs(log);
  logLateSteps(log);
  const startedMs = monotonicMs();
  const stopSignal = firstSignal(["SIGTERM", "SIGINT"]);
  const { native } = loadNative(config.assets.dir);
  const locks = [await lockFolder(native, config.root, "root"), await lockFolder(native, config.state, "state")];
  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // each sandbox may wait on it
  const deps = await openParts(config, log, native, closing.signal);
  let trouble: string | undefined = "starting";
  const endpoint = await openMetricsEndpoint(deps, () => trouble);
  const serving = serveCri(deps, config.socketPath);
  const recovered = recover(deps, serving);
  const server = await serving;
  trouble = undefined;
  const supervisor = new Supervisor(native, log);
  supervisor.ready();
  log.info(
    {
      version: packageVersion(),
      listen: `unix://${config.socketPath}`,
      driver: deps.boxes.driver,
      reason: deps.boxes.reason,
      startMs: Math.round(monotonicMs() - startedMs),
    },
    "serving",
  );

  log.info({ signal: await stopSignal }, "shutting down; boxes live on");
  trouble = "shutting down";
  supervisor.stopping();
  deps.events.close(); // a subscription has no end of its own
  await Promise.all([
    server.close(callGraceMs),
    atMost(callGraceMs, deps.streaming.close()),
    atMost(callGraceMs, deps.sandboxCreations.idle()),
  ]);
  closing.abort();
  await atMost(undoGraceMs, Promise.all([deps.sandboxCreations.idle(), deps.containers.creations.idle(), recovered]));
  await atMost(closeGraceMs, closeParts(deps, endpoint));
  const goOn = lateStepsNow();
  if (goOn.length > 0) log.warn({ steps: goOn }, "steps that do not end are left; the next daemon looks after them");
  for (const lock of locks) lock.close();
  supervisor.close();
  log.info({}, "stopped");
  // Channels to the agents of living Boxes would keep the process, and so would a thread in a call that never ends.
  return native.exitNow(exitStatus.ok);
}

async function closeParts(deps: Deps, endpoint: Awaited<ReturnType<typeof openMetricsEndpoint>>): Promise<void> {
  await Promise.all([deps.containers.close(), deps.images.close(), endpoint?.close()]);
}

/** A step that was given up says so at once, and once more when it has settled after all. */
function logLateSteps(log: Logger): void {
  tellLateSteps(({ outcome, ...facts }) => {
    if (outcome === "given up") log.warn(facts, "step given up; it goes on, and holds what it is about");
    else log.warn({ ...facts, outcome }, "step that was given up has settled");
  });
}

async function openParts(config: Config, log: Logger, native: Deps["native"], closing: AbortSignal): Promise<Deps> {
  const metrics = new Metrics(knownRegistries(config));
  const [images, boxes, sandboxes] = await Promise.all([
    openImageStore({ config, log, native, pullObserver: metrics.pulls }),
    openBoxFactory(boxOptions(config, log, native)),
    SandboxStore.open(config, log, sandboxRecords),
  ]);
  const networks = new Networks(config.cni, log);
  const parts = { config, log, native, images, boxes, networks, sandboxes, events: new ContainerEvents() };
  const containers = await ContainerStore.open(parts, containerRecords);
  const streaming = await serveStreaming(config.streaming, log);
  const podContainers = new PodContainers(containers);
  const sandboxCreations = new SharedWork<string, SandboxId>({ outlivesCallers: true });
  return { ...parts, containers, podContainers, streaming, metrics, sandboxCreations, closing };
}

function boxOptions(config: Config, log: Logger, native: Deps["native"]): BoxFactoryOptions {
  const { assets, driver, native: pods, qemu, root, sandbox, state } = config;
  const { bootTimeoutMs, healthTimeoutMs, containerRuntime } = sandbox;
  const ofHandlers = Object.values(config.handlers).flatMap((handler) => handler.driver ?? []);
  const moreDrivers = config.hostNamespaces === "native" ? [...ofHandlers, "native" as const] : ofHandlers;
  const limits = { bootTimeoutMs, healthTimeoutMs, cgroupManager: config.cgroup.driver };
  const common = { state, layers: root, assetsDir: assets.dir, native, log, ...limits, containerRuntime };
  return {
    ...common,
    driver,
    moreDrivers,
    ...(qemu.binary === undefined ? {} : { qemuBinary: qemu.binary }),
    ...(pods.runc === undefined ? {} : { runcBinary: pods.runc }),
  };
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
