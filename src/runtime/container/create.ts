import { join } from "node:path";
import { creationNs, monotonicMs } from "../../base/clock.js";
import { Cleanup } from "../../base/cleanup.js";
import { codeOf, messageOf, RuntimeError, type ErrorCode } from "../../base/errors.js";
import { newContainerId, shortId, type ContainerId } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import { neverAborted } from "../../base/signals.js";
import { operation, stage } from "../../base/stage.js";
import type { SnapshotWanted, WritableSnapshot } from "../../image/image-store.js";
import type { LayeredRoot } from "../../gen/agent/v1/agent.js";
import type { Box } from "../../vmm/box.js";
import { isAgentsAnswer } from "../../vmm/agent/status.js";
import type { Boundary } from "../boundary/boundary.js";
import type { Deps } from "../deps.js";
import { userNamespaceOf } from "../pod/user-namespace.js";
import type { Pod } from "../pod/pod.js";
import { finishSpec, type SpecPlan } from "../spec/build-spec.js";
import { declaredVolumes, missingPodFiles, type PodFile } from "../spec/mounts.js";
import type { OciSpec } from "../spec/oci.js";
import type { CheckedContainer } from "./check-spec.js";
import type { ContainerRecord } from "./container-record.js";
import type { ContainerSpec } from "./container-spec.js";
import type { ContainerStore } from "./container-store.js";
import { resolveSource } from "../volumes/host-mounts.js";
import { isImageVolume, withVolumeIds } from "../volumes/image-volumes.js";
import { placeIn } from "./cpu-sets.js";
import { explained } from "../volumes/huge-pages.js";
import { recordedSpec } from "./recorded-spec.js";
import { guestPaths, MountPlacer } from "../volumes/place-mounts.js";
import { createLimitMs, longStepLimitMs, stepLimitMs, undoLimitMs } from "./limits.js";
import { planOf } from "./plan.js";
import type { SeccompFilter } from "./seccomp-filters.js";

/**
 * Makes a container, up to CREATED, under its own deadline (docs/adr/0008): the caller may leave. Whatever fails,
 * all that had been made is taken back; the record comes last and owns the parts.
 */
export async function createContainerIn(request: CheckedContainer, deps: Deps): Promise<ContainerId> {
  const id = newContainerId();
  const { sandbox, spec } = request;
  const log = deps.log.child({ containerId: id, sandboxId: sandbox.id, container: spec.name });
  const startedMs = monotonicMs();
  try {
    await deps.containers.creating(id, sandbox.id, () =>
      operation(`create container ${spec.name} (${shortId(id)})`, createLimitMs, deps.closing, (signal) =>
        build(id, request, deps, log, signal),
      ),
    );
  } finally {
    deps.containers.sources.settled(id);
  }
  log.info({ image: request.image.id, ms: Math.round(monotonicMs() - startedMs) }, "container created");
  return id;
}

async function build(
  id: ContainerId,
  request: CheckedContainer,
  deps: Deps,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { containers, images } = deps;
  const { spec, sandbox, image, imageConfig } = request;
  const box = await sandbox.liveBox(signal);
  const { boundary } = sandbox;
  const plan = await planOf(id, request, box, deps, signal);
  const sources = await sourcesOf(spec, !boundary.placesSources, containers, signal);
  const { seccomp, apparmorPolicy } = await confinementOf(request, plan, box, containers, signal);

  await using undo = new Cleanup(log, undoLimitMs);
  undo.add("give CPUs back", () => containers.together.cpuSets.release(box, id));
  await stage("set CPUs", stepLimitMs, signal, (limit) =>
    containers.together.cpuSets.claim(box, id, placeIn(spec.resources), limit),
  );
  undo.add("remove snapshot", (limit) => images.removeSnapshot(id, limit));
  const declared = declaredVolumes(imageConfig, spec.mounts);
  const wanted = await snapshotWanted(request, declared, box, deps, signal);
  const snapshot = await stage("prepare snapshot", longStepLimitMs, signal, (limit) =>
    images.prepareSnapshot(id, image, limit, wanted),
  );
  const placed = await MountPlacer.open({ id, sandbox, box, boundary, deps, undo, signal });
  const root = await placed.root(snapshot);
  await placed.declared(declared, snapshot);
  await placed.volumes(spec.mounts, sources, snapshot);
  await placed.podFiles(missingPodFiles(spec.mounts, podFiles(sandbox.directory)), plan.mountTraits);
  const ociSpec = finishSpec(
    withProfile(plan, boundary, seccomp),
    root.path,
    placed.mounts,
    sharedMemoryOf(sandbox, box),
  );
  undo.add("unmount what was followed", () => containers.laterMounts.release(id));
  undo.add("delete session", (limit) => box.agent.deleteSession(id, limit));
  const parts = { id, spec: ociSpec, root: root.layered, placed, seccomp, apparmorPolicy, stdin: spec.stdin };
  const { startFailure, pid } = await createSession(parts, box, signal);
  await detach(id, snapshot, deps, signal);
  if (startFailure === "") await follow(id, placed, box, containers, signal);
  const write = async (): Promise<void> => {
    if (sandbox.state !== "ready") throw new RuntimeError("failedPrecondition", "the sandbox was stopped meanwhile");
    await containers.add({
      ...recordOf(id, request, plan, placed),
      upper: snapshot.measured,
      ...recordedSpec(ociSpec),
      ...(startFailure === "" ? { pid } : { startFailure }),
    });
  };
  await stage("write record", stepLimitMs, signal, write, () => containers.remove(id));
  undo.release();
  await giveCpusBack(id, box, containers, log);
}

/** What its programs are confined by, beside users and capabilities. */
async function confinementOf(
  { sandbox, spec }: CheckedContainer,
  { process: { capabilities, apparmorProfile } }: SpecPlan,
  box: Box,
  { seccomp, apparmor }: ContainerStore,
  signal: AbortSignal,
): Promise<Pick<SessionParts, "seccomp" | "apparmorPolicy">> {
  return {
    seccomp: await seccomp.filterFor(spec.security.seccomp, capabilities.effective, signal),
    apparmorPolicy: await apparmor.policyFor(apparmorProfile, box, sandbox.boundary, signal),
  };
}

async function snapshotWanted(
  { sandbox, spec: { disk }, volumes }: CheckedContainer,
  declared: readonly string[],
  box: Box,
  { containers: { layeredRoots } }: Deps,
  signal: AbortSignal,
): Promise<SnapshotWanted> {
  const bound = disk === undefined ? undefined : { bytes: disk.sizeBytes, by: disk.by };
  const owner = { box, boundary: sandbox.boundary, userNamespace: userNamespaceOf(sandbox.spec) };
  return { volumes: [...volumes.values()], declared, bound, layerFiles: await layeredRoots.of(owner, signal) };
}

/** The volumes in which mounts of the host that come later are seen. */
async function follow(
  id: ContainerId,
  { followed }: MountPlacer,
  box: Box,
  { laterMounts }: ContainerStore,
  signal: AbortSignal,
): Promise<void> {
  for (const volume of followed) {
    await stage("follow mounts of the host", longStepLimitMs, signal, (limit) =>
      laterMounts.follow(box, id, volume, limit),
    );
  }
}

/** Where it was on the host until all of it was shared. */
async function detach(
  id: ContainerId,
  { boundBy }: WritableSnapshot,
  { images }: Deps,
  signal: AbortSignal,
): Promise<void> {
  if (boundBy === "file") await stage("detach snapshot", stepLimitMs, signal, () => images.detachSnapshot(id));
}

/** Where the mounts' sources are on the host, by position; "" for an image. `devices`: one may be a device. */
async function sourcesOf(
  spec: ContainerSpec,
  devices: boolean,
  { lookups }: ContainerStore,
  signal: AbortSignal,
): Promise<string[]> {
  return await Promise.all(
    spec.mounts.map(async (mount, index) =>
      isImageVolume(mount)
        ? ""
        : await stage(`resolve mount ${mount.containerPath}`, stepLimitMs, signal, (limit) =>
            resolveSource(mount, index, { devices }, lookups, limit),
          ),
    ),
  );
}

/** The container is there, and answers for its CPUs: whatever goes wrong here does not unmake it. */
async function giveCpusBack(id: ContainerId, box: Box, containers: ContainerStore, log: Logger): Promise<void> {
  try {
    await stage("settle CPUs", stepLimitMs, neverAborted, () => containers.together.cpuSets.release(box, id));
  } catch (thrown) {
    log.warn({ err: messageOf(thrown) }, "the pod's CPUs could not be settled");
  }
}

/** A guest has the filter only; runc makes its own of the profile. */
function withProfile(plan: SpecPlan, boundary: Boundary, { profile }: SeccompFilter): SpecPlan {
  if (!boundary.takesProfile || profile === undefined) return plan;
  return { ...plan, linux: { ...plan.linux, seccomp: profile } };
}

/** With the host's IPC comes its shared memory. */
function sharedMemoryOf({ spec }: Pod, box: Box): string {
  return spec.namespaces?.ipc === "host" ? "/dev/shm" : box.sharedMemory;
}

interface SessionParts {
  readonly id: ContainerId;
  readonly spec: OciSpec;
  readonly root: LayeredRoot | undefined;
  readonly placed: MountPlacer;
  readonly seccomp: SeccompFilter;
  readonly apparmorPolicy: Uint8Array;
  readonly stdin: boolean;
}

/** What the agent says of a container that can't be; anything else is of the way there, and for a repeat. */
const refusals: readonly ErrorCode[] = ["notFound", "invalidArgument", "failedPrecondition", "internal"];

/**
 * "", or why the container can't run: that is for StartContainer to say, as with containerd, which asks its runtime no
 * earlier. kubelet takes a container that could not be created for one that is yet to come, for ever; one that could not
 * be started has failed, and so has its pod if it is not to be restarted (pkg/kubelet/kubelet_pods.go, getPhase).
 */
async function createSession(
  { id, spec, root, placed, seccomp, apparmorPolicy, stdin }: SessionParts,
  box: Box,
  signal: AbortSignal,
): Promise<{ readonly startFailure: string; readonly pid: number }> {
  const request = {
    sessionId: id,
    ociSpec: Buffer.from(JSON.stringify(spec)),
    root,
    heldPaths: await placed.heldPaths(),
    mirroredPaths: guestPaths(placed.mirrored),
    propagatedPaths: guestPaths(placed.followed.map(({ place }) => place)),
    hugeVolumes: [...placed.hugeVolumes],
    seccompBpf: Buffer.from(seccomp.bpf),
    seccompFlags: seccomp.flags,
    apparmorPolicy,
    stdin,
  };
  try {
    const { pid } = await explained(box.agent.createSession(request, signal));
    return { startFailure: "", pid };
  } catch (thrown) {
    const isRefusal = isAgentsAnswer(thrown) && refusals.includes(codeOf(thrown));
    if (signal.aborted || box.exit !== undefined || !isRefusal) throw thrown;
    return { startFailure: messageOf(thrown), pid: 0 };
  }
}

function podFiles(directory: string): PodFile[] {
  return [
    { containerPath: "/etc/hosts", hostPath: join(directory, "hosts") },
    { containerPath: "/etc/hostname", hostPath: join(directory, "hostname") },
    { containerPath: "/etc/resolv.conf", hostPath: join(directory, "resolv.conf") },
  ];
}

function recordOf(
  id: ContainerId,
  { sandbox, spec, image, volumes, logPath }: CheckedContainer,
  plan: SpecPlan,
  { shared, mirrored, followed }: MountPlacer,
): ContainerRecord {
  return {
    version: 2,
    id,
    sandboxId: sandbox.id,
    label: `${spec.name} attempt ${spec.attempt}`,
    spec: withVolumeIds(spec, volumes),
    image: {
      id: image.id,
      reference: image.repoDigests[0] ?? image.id,
      name: image.repoTags[0] ?? spec.image.name,
    },
    logPath,
    process: plan.process,
    stopSignal: plan.stopSignal,
    sharedPaths: [...new Set(shared.map(({ hostPath }) => hostPath))],
    mirroredPaths: [...new Set(mirrored.map(({ hostPath }) => hostPath))],
    followed: followed.map(({ place, source }) => ({ place: place.hostPath, source })),
    createdAtNs: creationNs(),
  };
}
