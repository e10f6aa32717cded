/** What of the daemon's parts is shown at its metrics endpoint. */
import { nowNs } from "../base/clock.js";
import { packageVersion } from "../base/version.js";
import type { Config } from "../config/config.js";
import { type Health, type MetricsEndpoint, serveMetrics } from "../metrics/endpoint.js";
import { egressReasons } from "../net/egress/closed.js";
import { containerStates } from "../runtime/container/container-record.js";
import type { Deps } from "../cri/deps.js";
import { sandboxStates } from "../runtime/pod/pod-record.js";

/** Those that the operator has named. */
export function knownRegistries({ image }: Config): string[] {
  return [image.defaultRegistry, ...image.plainHttp, ...Object.keys(image.auth)];
}

/** Of the configuration, whole names alone: patterns are no models. */
export function knownModels({ llm }: Config): string[] {
  return llm.flatMap(({ models }) => models.filter((model) => !model.includes("*")));
}

/** `/metrics` and `/healthz`, where the config wants them. */
export async function openMetricsEndpoint(deps: Deps, health: Health): Promise<MetricsEndpoint | undefined> {
  const { boxes, config, containers, log, metrics, sandboxes } = deps;
  if (config.metrics === undefined) return undefined;
  metrics.describe({ version: packageVersion(), driver: boxes.driver });
  metrics.watchProcess();
  metrics.watchStates({
    name: "a3s_box_sandboxes",
    help: "Pod sandboxes by state.",
    states: sandboxStates,
    read: () => sandboxes.all().map(({ state }) => state),
  });
  metrics.watchStates({
    name: "a3s_box_agent_sandboxes",
    help: "Sandboxes for agents, by the state of their pods; they are among a3s_box_sandboxes, too.",
    states: sandboxStates,
    read: () => sandboxes.all().flatMap(({ spec, state }) => (spec.madeFor === undefined ? [] : state)),
  });
  metrics.watchCount(
    "a3s_box_sandboxes_paused",
    "Sandboxes that stand still; they are among a3s_box_sandboxes, too.",
    () => sandboxes.all().filter(({ isPaused, state }) => isPaused && state === "ready").length,
  );
  metrics.watchStates({
    name: "a3s_box_containers",
    help: "Containers by state.",
    states: containerStates,
    read: () => containers.list().map(({ state }) => state),
  });
  metrics.boxes.watchMemory(async () => {
    const running = sandboxes.all().flatMap(({ box }) => box ?? []);
    const each = await Promise.all(running.map((box) => box.memoryUsage().catch(() => 0n)));
    return each.reduce((sum, bytes) => sum + bytes, 0n);
  });
  const { pool } = boxes;
  if (pool.facts.classes.length > 0)
    metrics.pool.watch(
      () => pool.facts,
      () => pool.memory(),
      nowNs,
    );
  metrics.egress.watch(egressReasons, () => deps.egress.totals());
  return await serveMetrics(config.metrics, metrics, health, log);
}
