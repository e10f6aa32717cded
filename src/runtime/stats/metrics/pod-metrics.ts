/**
 * Metrics: of each pod what its Box costs the node and its network, and of each of its running containers
 * what the guest counts.
 */
import { statfs } from "node:fs/promises";
import { nowNs } from "../../../base/clock.js";
import type { SessionStats, StatsResponse } from "../../../gen/agent/v1/agent.js";
import type { Container } from "../../container/container.js";
import type { Deps } from "../../deps.js";
import type { Pod } from "../../pod/pod.js";
import { askBoxes } from "../ask-boxes.js";
import { layerUsage } from "../container-stats.js";
import { networkInterfaces } from "../pod-stats.js";
import { containerSamples, type LayerFileSystem } from "./container-samples.js";
import { Samples, type BaseLabels, type Sample } from "./samples.js";

export interface ContainerMetrics {
  readonly containerId: string;
  readonly samples: readonly Sample[];
}

export interface PodMetrics {
  readonly sandboxId: string;
  readonly samples: readonly Sample[];
  /** Of those that run. */
  readonly containers: readonly ContainerMetrics[];
}

/** One per sandbox, in their order; of one whose Box does not answer only what the host knows. */
export async function metricsOf(sandboxes: readonly Pod[], deps: Deps, signal: AbortSignal): Promise<PodMetrics[]> {
  const ids = sandboxes.map(({ id }) => id);
  const [answers, fileSystem] = await Promise.all([
    askBoxes(ids, deps, signal, { processes: true, brief: false }),
    layerFileSystem(deps),
  ]);
  return await Promise.all(
    sandboxes.map(async (sandbox) => {
      const answer = answers.get(sandbox.id);
      const running = deps.containers.listOf(sandbox.id).filter(({ state }) => state === "running");
      const [samples, containers] = await Promise.all([
        sandboxSamples(sandbox, answer),
        Promise.all(running.map((one) => metricsOfContainer(one, sandbox, answer, fileSystem, deps, signal))),
      ]);
      return { sandboxId: sandbox.id, samples, containers };
    }),
  );
}

/** The id of a pod is its cgroup on the node and that of a container lies below it, as cAdvisor has them. */
function labelsOf(sandbox: Pod, container?: Container): BaseLabels {
  const { name: pod, namespace, cgroupParent: parent } = sandbox.spec;
  return {
    id: container === undefined ? parent : `${parent}/${container.id}`,
    name: container?.id ?? sandbox.id,
    image: container?.record.image.name ?? "",
    container: container?.spec.name ?? "",
    pod,
    namespace,
  };
}

async function layerFileSystem(deps: Deps): Promise<LayerFileSystem> {
  const mountpoint = deps.images.containersDirectory;
  const { bsize, blocks, files, ffree } = await statfs(mountpoint, { bigint: true });
  return { mountpoint, sizeBytes: bsize * blocks, inodes: files, inodesFree: ffree };
}

async function metricsOfContainer(
  container: Container,
  sandbox: Pod,
  answer: StatsResponse | undefined,
  fileSystem: LayerFileSystem,
  deps: Deps,
  signal: AbortSignal,
): Promise<ContainerMetrics> {
  const layer = await layerUsage(container, fileSystem.mountpoint, deps, signal);
  const samples = containerSamples({
    labels: labelsOf(sandbox, container),
    nowNs: nowNs(),
    startedAtNs: container.record.startedAtNs ?? 0n,
    resources: container.resources,
    layerBytes: layer.bytes,
    fileSystem,
    session: answer?.sessions.find(({ sessionId }) => sessionId === container.id),
  });
  return { containerId: container.id, samples };
}

async function sandboxSamples(sandbox: Pod, answer: StatsResponse | undefined): Promise<Sample[]> {
  const samples = new Samples(labelsOf(sandbox));
  const [cpuNs, memoryBytes, disk] = await Promise.all([
    sandbox.box?.cpuTime() ?? 0n,
    sandbox.box?.memoryUsage() ?? 0n,
    sandbox.box?.diskUsage(),
  ]);
  samples.putSeconds("container_last_seen", nowNs());
  samples.putSeconds("container_start_time_seconds", sandbox.record.createdAtNs);
  samples.putSeconds("container_cpu_usage_seconds_total", cpuNs, "total");
  samples.put("container_memory_usage_bytes", memoryBytes);
  samples.put("container_memory_working_set_bytes", memoryBytes);
  samples.put("container_memory_rss", memoryBytes);
  samples.put("container_fs_reads_bytes_total", disk?.readBytes, "");
  samples.put("container_fs_writes_bytes_total", disk?.writtenBytes, "");
  if (answer === undefined) return samples.all;
  const sum = (of: (session: SessionStats) => bigint): bigint =>
    answer.sessions.reduce((total, session) => total + of(session), 0n);
  samples.put(
    "container_processes",
    sum(({ processes }) => processes?.processes ?? 0n),
  );
  samples.put(
    "container_threads",
    sum(({ pids }) => pids),
  );
  samples.put(
    "container_oom_events_total",
    sum(({ oomKills }) => oomKills),
  );
  putNetwork(samples, sandbox, answer);
  return samples.all;
}

function putNetwork(samples: Samples, sandbox: Pod, answer: StatsResponse): void {
  for (const one of networkInterfaces(sandbox, answer)) {
    samples.put("container_network_receive_bytes_total", one.rxBytes, one.name);
    samples.put("container_network_receive_packets_total", one.rxPackets, one.name);
    samples.put("container_network_receive_packets_dropped_total", one.rxDropped, one.name);
    samples.put("container_network_receive_errors_total", one.rxErrors, one.name);
    samples.put("container_network_transmit_bytes_total", one.txBytes, one.name);
    samples.put("container_network_transmit_packets_total", one.txPackets, one.name);
    samples.put("container_network_transmit_packets_dropped_total", one.txDropped, one.name);
    samples.put("container_network_transmit_errors_total", one.txErrors, one.name);
  }
}
