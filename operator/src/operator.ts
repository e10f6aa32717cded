/** The parts, put together: whoever leads has stores and workers, the others wait for the Lease. */
import type { KubeConfig } from "@kubernetes/client-node/dist/config.js";
import { manager } from "./box/names.js";
import { conditionOf } from "./box/pod-facts.js";
import { Reconciler } from "./box/reconcile.js";
import { Writer } from "./box/writer.js";
import { KubeClient } from "./kube/client.js";
import { messageOf } from "./kube/error.js";
import type { Options } from "./options.js";
import { Cluster } from "./runtime/cluster.js";
import { Election } from "./runtime/election.js";
import { EventRecorder } from "./runtime/events.js";
import type { Log } from "./runtime/log.js";
import { createMetrics, serveMetrics, type Metrics } from "./runtime/metrics.js";
import { WorkQueue } from "./runtime/queue.js";

/** What is under way when it is told to end has so long, and no longer than it leads. */
const endMs = 10_000;

/** Until the signal aborts; answers false when it led and lost the Lease, after which only a new start is safe. */
export async function runOperator(
  config: KubeConfig,
  options: Options,
  log: Log,
  stopping: AbortSignal,
): Promise<boolean> {
  const dead = new AbortController();
  const client = new KubeClient(config, manager, dead.signal);
  const queue = new WorkQueue();
  const { namespace, leaseName: name, identity, leaseSeconds } = options;
  const election = new Election({ client, namespace, name, identity, leaseSeconds, log });
  let cluster: Cluster | undefined;
  let leads = false;
  const metrics = createMetrics({ queueDepth: () => queue.depth, boxes: () => countBoxes(cluster) });
  const server = await serveMetrics(options.metricsPort, metrics.registry, {
    healthy: () => undefined,
    ready: () => {
      if (leads) return cluster?.synced === true ? undefined : "the cluster's objects are still being read";
      return election.isInTouch ? undefined : "the API server does not answer";
    },
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : options.metricsPort;
  log.info("the operator has started", { identity, port });
  try {
    if (!(await election.acquire(stopping))) return true;
    leads = true;
    metrics.leader.set(1);
    log.info("this operator leads", { identity });
    const parts = createParts(client, queue, options, log, metrics);
    cluster = parts.cluster;
    const working = work(parts, queue, options.workers, { log, metrics, ends: stopping });
    await election.keep(stopping);
    if (!stopping.aborted) {
      log.warn("the lease is lost, this operator ends", { identity });
      return false;
    }
    const hasEnded = await Promise.race([
      working.then(() => true),
      new Promise<false>((resolve) => setTimeout(resolve, Math.min(endMs, election.leftMs), false).unref()),
    ]);
    // What is still under way ends with this process: the next one waits for the lease, as after any death.
    if (!hasEnded) return true;
    await election.release().catch((thrown: unknown) => {
      log.warn("the lease could not be given back", { error: messageOf(thrown) });
    });
    return true;
  } finally {
    dead.abort();
    server.close();
    server.closeAllConnections();
  }
}

interface Parts {
  readonly cluster: Cluster;
  readonly reconciler: Reconciler;
}

function createParts(client: KubeClient, queue: WorkQueue, options: Options, log: Log, metrics: Metrics): Parts {
  const cluster = new Cluster({
    ...{ client, log, watchIdleMs: options.watchIdleSeconds * 1000, discoveryMs: options.discoverySeconds * 1000 },
    onBox: (key) => {
      queue.add(key);
    },
    onRestart: (kind, reason) => {
      metrics.watchRestarts.inc({ kind, reason });
    },
  });
  const events = new EventRecorder(client, manager, log);
  const onWrite = (kind: string, verb: string): void => {
    metrics.writes.inc({ kind, verb });
  };
  const writer = new Writer({ client, cluster, events, onWrite });
  const pods = { runtimeClassName: options.runtimeClass, runtimeImage: options.runtimeImage };
  return { cluster, reconciler: new Reconciler({ client, cluster, writer, events, pods }) };
}

interface Around {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly ends: AbortSignal;
}

async function work({ cluster, reconciler }: Parts, queue: WorkQueue, workers: number, around: Around): Promise<void> {
  const { log, metrics, ends } = around;
  const one = async (key: string): Promise<void> => {
    // Half of what there is would be taken for all of it.
    if (!cluster.synced) {
      queue.addAfter(key, 100);
      return;
    }
    const stop = metrics.reconcileSeconds.startTimer();
    try {
      const { afterMs, retry } = await reconciler.reconcile(key);
      metrics.reconciles.inc({ result: retry === true ? "refused" : "done" });
      if (retry === true) queue.retry(key);
      else queue.forget(key);
      if (afterMs !== undefined) queue.addAfter(key, afterMs);
    } catch (thrown) {
      metrics.reconciles.inc({ result: "failed" });
      log.warn("an A3sBox could not be looked at, and will be again", { box: key, error: messageOf(thrown) });
      queue.retry(key);
    } finally {
      stop();
    }
  };
  await Promise.all([cluster.run(ends), queue.run(workers, one, ends)]);
}

function countBoxes(cluster: Cluster | undefined): Map<string, number> {
  const counts = new Map<string, number>();
  for (const box of cluster?.boxes() ?? []) {
    const reason = conditionOf(box, "Ready")?.reason ?? "New";
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return counts;
}
