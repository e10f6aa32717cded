import { join } from "node:path";
import { nowNs, monotonicMs } from "../../base/clock.js";
import { Cleanup } from "../../base/cleanup.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { newContainerId, shortId, type ContainerId } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import { stage } from "../../base/stage.js";
import { NamespaceMode } from "../../gen/runtime/v1/api.js";
import type { Image } from "../../image/image-store.js";
import type { Box, SharedPath } from "../../vmm/box.js";
import { readMountinfo } from "../../base/mountinfo.js";
import { boundaryOf } from "../boundary/boundary-of.js";
import type { Boundary } from "../boundary/boundary.js";
import type { Deps } from "../deps.js";
import { userNamespaceOf } from "../sandbox/user-namespace.js";
import { podHostname } from "../sandbox/pod-files.js";
import type { Sandbox } from "../sandbox/sandbox.js";
import { finishSpec, planSpec, type SpecPlan } from "../spec/build-spec.js";
import { missingPodFiles, placeMount, placePodFile, type PlacedMount, type PodFile } from "../spec/mounts.js";
import type { OciSpec } from "../spec/oci.js";
import { seccompChoice } from "../spec/seccomp.js";
import type { UserDatabase } from "../spec/user.js";
import type { ContainerRequest } from "./check-request.js";
import { encodeConfig, type ContainerRecord } from "./container-record.js";
import { operation } from "./operation.js";
import { resolveSource } from "./host-mounts.js";
import { checkCount, nestedMounts } from "./nested-mounts.js";
import { wantsLaterMounts, type FollowedVolume } from "./submounts.js";
import { hostSource } from "./shared-sources.js";
import { mirrorOf } from "./mirrors.js";
import { isProjected } from "./projected.js";
import { isImageVolume, subPathOf, withVolumeIds } from "./image-volumes.js";
import { createLimitMs, longStepLimitMs, stepLimitMs, undoLimitMs } from "./limits.js";
import type { SeccompFilter } from "./seccomp-filters.js";

/**
 * Makes a container, up to CREATED, under its own deadline (design, decision 14): the caller may leave. Whatever fails,
 * all that had been made is taken back; the record comes last and owns the parts.
 */
export async function createContainerIn(request: ContainerRequest, deps: Deps): Promise<ContainerId> {
  const id = newContainerId();
  const { sandbox, metadata } = request;
  const log = deps.log.child({ containerId: id, sandboxId: sandbox.id, container: metadata.name });
  const startedMs = monotonicMs();
  try {
    await deps.containers.creating(id, sandbox.id, () =>
      operation(`create container ${metadata.name} (${shortId(id)})`, createLimitMs, deps.closing, (signal) =>
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
  request: ContainerRequest,
  deps: Deps,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { containers, images } = deps;
  const { config, sandbox, image } = request;
  const box = await sandbox.liveBox(signal);
  const boundary = boundaryOf(sandbox.record.box?.driver);
  const plan = await planOf(id, request, box, deps, signal);
  const sources = await Promise.all(
    config.mounts.map(async (mount, index) =>
      isImageVolume(mount) ? "" : await resolveSource(mount, index, { devices: !boundary.placesSources }),
    ),
  );
  const choice = seccompChoice(config.linux?.securityContext);
  const seccomp = await containers.seccomp.filterFor(choice, plan.process.capabilities.effective, signal);

  await using undo = new Cleanup(log, undoLimitMs);
  undo.add("remove snapshot", (limit) => images.removeSnapshot(id, limit));
  const snapshot = await stage("prepare snapshot", longStepLimitMs, signal, (limit) =>
    images.prepareSnapshot(id, image, limit, [...request.volumes.values()]),
  );
  const shared: SharedPath[] = [];
  const share = async (name: string, make: () => Promise<SharedPath>): Promise<string> => {
    return (await shareAt(name, make)).guestPath;
  };
  const shareAt = async (name: string, make: () => Promise<SharedPath>): Promise<SharedPath> => {
    const path = await stage(name, stepLimitMs, signal, make);
    undo.add(`undo ${name}`, () => containers.sources.release(box, id, path.hostPath));
    shared.push(path);
    return path;
  };
  const writable = new Set(config.mounts.flatMap((mount, index) => (mount.readonly ? [] : [sources[index]])));
  const hostMounts = boundary.placesSources ? await readMountinfo() : [];
  /** Of the guest; the agent visits them, in this order, before the container is there. */
  const visited: string[] = [];
  const mirrored: SharedPath[] = [];
  const followed: FollowedVolume[] = [];
  const followsHost = boundary.placesSources && deps.config.sandbox.hostMounts === "followed";
  const mirror = async (place: SharedPath): Promise<string> => {
    if (!(await containers.mirrors.canWatch(box, signal))) return place.guestPath;
    mirrored.push(place);
    undo.add("stop watching", () => {
      containers.mirrors.forget(id);
      return Promise.resolve();
    });
    containers.mirrors.watch(box, id, place, false);
    return mirrorOf(place);
  };
  const shareSource = async (name: string, source: string, readonly: boolean): Promise<SharedPath> => {
    if (!boundary.placesSources) return { guestPath: source, hostPath: source };
    const found = await hostSource(source, hostMounts);
    const place = await shareAt(name, () => containers.sources.share(box, id, found, readonly));
    const nested = await nestedMounts(source, place.hostPath, hostMounts);
    visited.push(...nested.map((path) => `${place.guestPath}/${path}`));
    return place;
  };
  /** With mounts that come and go, and so are no part of the place. */
  const shareAlone = async (name: string, source: string, readonly: boolean): Promise<SharedPath> => {
    checkCount(containers.laterMounts.submounts(hostMounts, source).length, source);
    const found = await hostSource(source, null);
    const place = await shareAt(name, () => containers.sources.share(box, id, found, readonly));
    followed.push({ place, source });
    return place;
  };
  const volumeLowers = [...snapshot.volumeLowers];
  const root = await share("share rootfs", () => box.shareOverlay(shortId(id), snapshot));
  const mounts: PlacedMount[] = [];
  for (const [index, mount] of config.mounts.entries()) {
    const name = `share mount ${mount.containerPath}`;
    if (isImageVolume(mount)) {
      const lowers = volumeLowers.shift() ?? [];
      const path = await shareAt(name, () => box.shareImage(shortId(id), lowers));
      mounts.push(placeMount(mount, await subPathOf(path, mount, deps.native)));
      continue;
    }
    const source = sources[index] ?? "";
    const follows = followsHost && (await wantsLaterMounts(mount, source));
    if (follows && (await containers.laterMounts.canFollow(box, signal))) {
      const place = await shareAlone(name, source, !writable.has(source));
      mounts.push(placeMount(mount, place.guestPath));
      continue;
    }
    const place = await shareSource(name, source, !writable.has(source));
    const copied = boundary.placesSources && mount.readonly && (await isProjected(place.hostPath));
    mounts.push(placeMount(mount, copied ? await mirror(place) : place.guestPath));
  }
  for (const file of missingPodFiles(config.mounts, podFiles(sandbox.folder))) {
    const { readonlyRootfs } = plan.mountTraits;
    const { guestPath } = await shareSource(`share ${file.containerPath}`, file.hostPath, readonlyRootfs);
    mounts.push(placePodFile(file, guestPath, plan.mountTraits));
  }
  const spec = finishSpec(withProfile(plan, boundary, seccomp), root, mounts, sharedMemoryOf(sandbox, box));
  const held = boundary.placesSources ? [...shared.map(({ guestPath }) => guestPath), ...visited] : [];
  undo.add("unmount what was followed", () => containers.laterMounts.release(id));
  undo.add("delete session", (limit) => box.agent.deleteSession(id, limit));
  const startFailure = await createSession(
    {
      id,
      spec,
      held,
      mirrored: mirrored.map(({ guestPath }) => guestPath),
      propagated: followed.map(({ place }) => place.guestPath),
      seccomp,
      stdin: config.stdin,
    },
    box,
    signal,
  );
  for (const volume of startFailure === "" ? followed : []) {
    await stage("follow mounts of the host", longStepLimitMs, signal, (limit) =>
      containers.laterMounts.follow(box, id, volume, limit),
    );
  }
  await stage("write record", stepLimitMs, signal, async () => {
    if (sandbox.state !== "ready") throw new RuntimeError("failedPrecondition", "the sandbox was stopped meanwhile");
    const { upper } = snapshot;
    await containers.add({
      ...recordOf(id, request, plan, shared, mirrored),
      followed: followed.map(({ place, source }) => ({ place: place.hostPath, source })),
      upper,
      ...(startFailure === "" ? {} : { startFailure }),
    });
  });
  undo.release();
}

/** A guest has the filter only; runc makes its own of the profile. */
function withProfile(plan: SpecPlan, boundary: Boundary, { profile }: SeccompFilter): SpecPlan {
  if (!boundary.takesProfile || profile === undefined) return plan;
  return { ...plan, linux: { ...plan.linux, seccomp: profile } };
}

/** With the host's IPC comes its shared memory. */
function sharedMemoryOf({ config }: Sandbox, box: Box): string {
  const ipc = config.linux?.securityContext?.namespaceOptions?.ipc;
  return ipc === NamespaceMode.NODE ? "/dev/shm" : box.sharedMemory;
}

interface SessionParts {
  readonly id: ContainerId;
  readonly spec: OciSpec;
  readonly held: readonly string[];
  readonly mirrored: readonly string[];
  readonly propagated: readonly string[];
  readonly seccomp: SeccompFilter;
  readonly stdin: boolean;
}

/** "", or why the program can't be started: that is for StartContainer to say (kubelet.md 2.8). */
async function createSession(
  { id, spec, held, mirrored, propagated, seccomp, stdin }: SessionParts,
  box: Box,
  signal: AbortSignal,
): Promise<string> {
  const request = {
    sessionId: id,
    ociSpec: Buffer.from(JSON.stringify(spec)),
    heldPaths: [...new Set(held)],
    mirroredPaths: [...new Set(mirrored)],
    propagatedPaths: [...new Set(propagated)],
    seccompBpf: Buffer.from(seccomp.bpf),
    seccompFlags: seccomp.flags,
    stdin,
  };
  try {
    await box.agent.createSession(request, signal);
    return "";
  } catch (thrown) {
    const message = messageOf(thrown);
    if (signal.aborted || !message.includes("executable file not found")) throw thrown;
    return message;
  }
}

async function planOf(
  id: ContainerId,
  request: ContainerRequest,
  box: Box,
  deps: Deps,
  signal: AbortSignal,
): Promise<SpecPlan> {
  const { config, sandbox, image } = request;
  return planSpec({
    id,
    config,
    image: image.config,
    database: await userDatabase(image, deps),
    sandbox: {
      hostname: podHostname(sandbox.id, sandbox.config),
      privileged: sandbox.config.linux?.securityContext?.privileged === true,
      userns: userNamespaceOf(sandbox.config),
    },
    targetPid: await targetPid(request, box, deps, signal),
    rules: await boundaryOf(sandbox.record.box?.driver).specRules(config, sandbox.config),
  });
}

async function userDatabase(image: Image, deps: Deps): Promise<UserDatabase> {
  const [passwd, group] = await Promise.all([
    deps.images.readFile(image, "/etc/passwd"),
    deps.images.readFile(image, "/etc/group"),
  ]);
  return { passwd: passwd?.toString("utf8") ?? "", group: group?.toString("utf8") ?? "" };
}

/** Init of the container that `target_id` names, as the guest numbers it; undefined when none is wanted. */
async function targetPid(
  { config, sandbox }: ContainerRequest,
  box: Box,
  deps: Deps,
  signal: AbortSignal,
): Promise<number | undefined> {
  const options = config.linux?.securityContext?.namespaceOptions;
  if (options?.pid !== NamespaceMode.TARGET) return undefined;
  const target = deps.containers.require(options.targetId);
  if (target.sandboxId !== sandbox.id) {
    throw new RuntimeError("invalidArgument", `target container ${shortId(target.id)} is in another sandbox`);
  }
  if (target.state !== "running") {
    throw new RuntimeError("failedPrecondition", `target container ${shortId(target.id)} is not running`);
  }
  const sessions = await box.agent.listSessions(signal);
  return sessions.find(({ sessionId }) => sessionId === target.id)?.pid;
}

function podFiles(folder: string): PodFile[] {
  return [
    { containerPath: "/etc/hosts", hostPath: join(folder, "hosts") },
    { containerPath: "/etc/hostname", hostPath: join(folder, "hostname") },
    { containerPath: "/etc/resolv.conf", hostPath: join(folder, "resolv.conf") },
  ];
}

function recordOf(
  id: ContainerId,
  { sandbox, config, metadata, image, volumes, logPath }: ContainerRequest,
  plan: SpecPlan,
  shared: readonly SharedPath[],
  mirrored: readonly SharedPath[],
): Omit<ContainerRecord, "followed"> {
  return {
    version: 1,
    id,
    sandboxId: sandbox.id,
    label: `${metadata.name} attempt ${metadata.attempt}`,
    config: encodeConfig(withVolumeIds(config, volumes)),
    image: {
      id: image.id,
      reference: image.repoDigests[0] ?? image.id,
      name: image.repoTags[0] ?? config.image?.image ?? image.id,
    },
    logPath,
    process: plan.process,
    stopSignal: plan.stopSignal.number,
    sharedPaths: [...new Set(shared.map(({ hostPath }) => hostPath))],
    mirroredPaths: [...new Set(mirrored.map(({ hostPath }) => hostPath))],
    createdAtNs: nowNs(),
  };
}
