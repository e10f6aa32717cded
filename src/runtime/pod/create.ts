import { randomBytes } from "node:crypto";
import { creationNs, monotonicMs, nowNs } from "../../base/clock.js";
import { Cleanup } from "../../base/cleanup.js";
import { RuntimeError } from "../../base/errors.js";
import { newBoxId, shortId, type PodId } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import { operation, sideBySide, Stages } from "../../base/stage.js";
import { netnsPath } from "../../config/paths.js";
import type { Interface as GuestInterface } from "../../gen/agent/v1/agent.js";
import type { LinkState } from "../../native/addon.js";
import type { Attachment } from "../../net/attachment.js";
import { tapName as guestTap } from "../../net/guest-link.js";
import type { Box, BoxSpec } from "../../vmm/box.js";
import type { TakenBox } from "../../vmm/pool/box-pool.js";
import type { Boundary } from "../boundary/boundary.js";
import type { Deps } from "../deps.js";
import { publish } from "../events/publish.js";
import type { Config } from "../../config/config.js";
import type { DecidedPod } from "./checked-pod.js";
import { watchBox } from "./end.js";
import { planNetwork, PodNetwork } from "./network.js";
import { podOomScore, qosOf } from "./oom-score.js";
import { PodFiles } from "./pod-files.js";
import type { Pod } from "./pod.js";

/** Each undo step has its own limit: the creation's may be what has passed. */
const undoLimitMs = 30_000;
/** Small steps on the host. */
const stepLimitMs = 20_000;
/** What the guest works for, which may be one of many on a busy machine. */
const guestLimitMs = 60_000;
/** Enough for every generator in the guest (random(7)). */
const entropyBytes = 64;

/**
 * Makes a sandbox, up to READY, under its own deadline (docs/adr/0008): the caller may leave. Whatever fails, all
 * that had been made is taken back, the record last. `ready`: a Box that was taken from the pool for it; it never goes back.
 */
export async function createSandbox(asked: DecidedPod, deps: Deps, ready?: TakenBox): Promise<PodId> {
  const id = ready?.id ?? newBoxId();
  const request: Creation = ready === undefined ? asked : { ...asked, size: sizeOf(ready), isReady: true };
  const { namespace, name: podName, uid } = request.spec;
  const log = deps.log.child({ sandboxId: id, pod: `${namespace}/${podName}`, uid });
  const startedMs = monotonicMs();
  const name = `run sandbox ${shortId(id)}`;
  try {
    const { stages } = await operation(name, deps.config.sandbox.runTimeoutMs, deps.closing, (signal) =>
      build(id, request, deps, log, signal),
    );
    deps.metrics.starts.ready(stages);
  } catch (thrown) {
    if (deps.closing.aborted) throw new RuntimeError("unavailable", "the daemon is stopping", { stage: name });
    throw thrown;
  }
  log.info({ ms: Math.round(monotonicMs() - startedMs), driver: request.driver ?? deps.boxes.driver }, "sandbox ready");
  return id;
}

interface Creation extends DecidedPod {
  /** Its Box is up already, and its network namespace there. */
  readonly isReady?: boolean;
}

function sizeOf({ vcpus, memoryMib }: TakenBox): DecidedPod["size"] {
  return { vcpus, memoryMib };
}

async function build(id: PodId, request: Creation, deps: Deps, log: Logger, signal: AbortSignal): Promise<Pod> {
  const { config, boxes, sandboxes } = deps;
  const stages = new Stages(log, signal);
  await using undo = new Cleanup(log, undoLimitMs);

  if (request.isReady === true) undo.add("discard ready box", (limit) => boxes.pool.discard(id, limit));
  const planned = await stages.run("plan network", stepLimitMs, () => planNetwork(id, request, deps));
  undo.add("remove record", () => sandboxes.remove(id));
  const sandbox = await stages.run("write record", stepLimitMs, () =>
    sandboxes.add({ ...firstRecord(id, request, deps), network: planned }),
  );
  const network = new PodNetwork(sandbox, deps);
  network.claimHostPorts();

  const files = new PodFiles(sandbox, deps.native);
  const { boundary, idMap } = request;
  const owner = boundary.hasGuestLink ? null : (idMap ?? null); // a guest has a user namespace of its own kernel
  undo.add("remove pod files", () => files.remove());
  await stages.run("write pod files", stepLimitMs, () => files.write(owner));

  const tapName = planned !== undefined && boundary.hasGuestLink ? guestTap : undefined;
  undo.add("remove netns", () => network.removeNetns());
  const boxSpec = boxSpecOf(sandbox, request, tapName ?? null, config);
  if (request.isReady === true) {
    await stages.run("take ready box", stepLimitMs, () => boxes.pool.leave(id, boxSpec.cgroupParent));
  } else {
    await stages.run("make netns", stepLimitMs, () => network.makeNetns({ tapName, owner }));
  }

  undo.add("leave network", (limit) => network.leave(limit));
  undo.add("discard box", (limit) => boxes.discard(id, sandbox.box?.handle, limit));
  const [box, link] = await bootAndJoin({ boxSpec, network, planned }, stages, deps, signal);
  sandbox.setBox(box);
  if (planned !== undefined) {
    await stages.run("tell pod files", stepLimitMs, () => files.tell(sandbox.record.network));
  }
  const identity = { hostname: ownHostname(files.hostname, request), boundary, sysctls: network.sysctls(request) };
  const interfaces = network.guestInterfaces(box.deviceMac, link);
  await stages.run("configure sandbox", guestLimitMs, (limit) => configure(box, { ...identity, interfaces }, limit));
  if (request.served.length > 0) {
    await stages.run("serve ports", guestLimitMs, (limit) => deps.servedPorts.begin(sandbox, box, limit));
  }
  await stages.run("record ready", stepLimitMs, () =>
    sandboxes.update(sandbox, { box: box.handle, readyAtNs: nowNs() }),
  );
  undo.release();
  sandbox.stages = stages.timings;
  for (const happening of ["created", "started"] as const) {
    publish(deps.events, happening, id, sandbox, () => deps.containers.listOf(id));
  }
  watchBox(sandbox, box, deps);
  return sandbox;
}

function boxSpecOf({ id, record }: Pod, request: DecidedPod, tap: string | null, config: Config): BoxSpec {
  return {
    ...{ id, ...request.size, netnsPath: record.netnsPath === "" ? null : record.netnsPath },
    cgroupParent: cgroupParent(request, config),
    oomScore: podOomScore(qosOf(request.spec.cgroupParent), []),
    hostNamespaces: request.hostNamespaces,
    ...(request.driver === undefined ? {} : { driver: request.driver }),
    ...(request.idMap === undefined ? {} : { idMap: request.idMap }),
    tap,
  };
}

interface Joining {
  readonly boxSpec: BoxSpec;
  readonly network: PodNetwork;
  readonly planned: Attachment | undefined;
}

/** Boot and CNI side by side. Each has limits of its own, and its error tells more: it comes first. */
async function bootAndJoin(
  { boxSpec, network, planned }: Joining,
  stages: Stages,
  deps: Deps,
  signal: AbortSignal,
): Promise<[Box, LinkState | undefined]> {
  const { config, boxes } = deps;
  const joinLimitMs = config.cni.timeoutMs + stepLimitMs;
  return await sideBySide(
    signal,
    // Its own steps have their limits; before them it may wait for its turn.
    (both) => stages.run("boot box", config.sandbox.runTimeoutMs, (limit) => boxes.boot(boxSpec, limit), both),
    async (both) => {
      if (planned === undefined) return undefined;
      const join = (limit: AbortSignal): Promise<LinkState | undefined> =>
        network.join(planned, boxSpec.tap ?? undefined, limit);
      return await stages.run("join network", joinLimitMs, join, both);
    },
  );
}

function firstRecord(id: PodId, { spec, boundary, hostNamespaces, served, size }: DecidedPod, deps: Deps) {
  const { namespace, name, uid, attempt } = spec;
  return {
    version: 3 as const,
    id,
    label: `${namespace}/${name} ${uid} attempt ${String(attempt)}`,
    spec,
    boundary: boundary.name,
    ...(served.length === 0 ? {} : { served }),
    size,
    createdAtNs: creationNs(),
    netnsPath: hostNamespaces.includes("network") ? "" : netnsPath(deps.config, id),
    ...(spec.egress === undefined ? {} : { egress: spec.egress }),
  };
}

/** A path is one below the root, also where it does not begin there; a slice has its name. */
function cgroupParent({ spec: { cgroupParent: parent } }: DecidedPod, { cgroup }: Config): string {
  return cgroup.driver === "systemd" || parent === "" || parent.startsWith("/") ? parent : `/${parent}`;
}

/** "" where the name is the host's: it stays. */
function ownHostname(hostname: string, { hostNamespaces }: DecidedPod): string {
  return hostNamespaces.includes("network") ? "" : hostname;
}

interface Identity {
  readonly hostname: string;
  readonly boundary: Boundary;
  readonly sysctls: Record<string, string>;
  readonly interfaces: GuestInterface[];
}

async function configure(
  box: Box,
  { hostname, boundary, sysctls, interfaces }: Identity,
  signal: AbortSignal,
): Promise<void> {
  await box.agent.configureSandbox(
    {
      hostname,
      wallClockNs: boundary.hasClock ? nowNs() : 0n,
      sysctls,
      shmSizeBytes: 0n,
      interfaces,
      entropy: boundary.hasClock ? randomBytes(entropyBytes) : Buffer.alloc(0),
      rehearsal: false,
    },
    signal,
  );
}
