import { randomBytes } from "node:crypto";
import { mkdir, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { nowNs } from "../../base/clock.js";
import { messageOf } from "../../base/errors.js";
import { newContainerId } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import type { Interface, LayeredRoot } from "../../gen/agent/v1/agent.js";
import { stage } from "../../base/stage.js";
import type { Native } from "../../native/addon.js";
import type { SharedPath } from "../box.js";
import type { RunningBox } from "../running-box.js";
import { layeredRootOf, rehearsalLayer, servesLayeredRoots, writtenPrefix } from "../share/layout.js";

/** What is in a rehearsed container, by its paths in the guest. */
export interface RehearsedPlaces {
  /** Of a program's: in it is the guest base's agent. */
  readonly root: string;
  /** Is mounted where pods have their own files. */
  readonly file: string;
  /** Is mounted where pods have the token of their service account. */
  readonly directory: string;
  readonly sharedMemory: string;
}

/** What a Box runs once before it has a pod: a container like those of pods. */
export interface RehearsedContainer {
  /** OCI runtime spec of one that runs a program: `args`, the first its absolute path in the container. */
  specOf(args: readonly string[], places: RehearsedPlaces): { readonly process: object };
  /** Its seccomp filter, as CreateSessionRequest has it. */
  filter(signal: AbortSignal): Promise<{ readonly bpf: Uint8Array; readonly flags: number }>;
}

/** Where no Box is made ready. */
export const nothingRehearsed: RehearsedContainer = {
  specOf: () => ({ process: {} }),
  filter: () => Promise.resolve({ bpf: new Uint8Array(), flags: 0 }),
};

export interface WarmUpParts {
  readonly native: Native;
  readonly log: Logger;
  /** Directory of the guest base. */
  readonly guestBase: string;
  /** What an interface of its pods leads to; null: they have none. */
  readonly tap: string | null;
  readonly rehearsed: RehearsedContainer;
}

const limitMs = 60_000;
const entropyBytes = 64;
const agent = "/usr/bin/agent";

/**
 * What the agent is asked for a first time takes several times as long as later: so it is asked here, for nothing that stays. A
 * pod gives all of it anew, entropy and the clock too. What the interface says meanwhile nobody hears: the tap leads nowhere yet.
 */
export async function warmUp(box: RunningBox, parts: WarmUpParts, signal: AbortSignal): Promise<void> {
  const nobody = { hostname: "", sysctls: {}, shmSizeBytes: 0n, rehearsal: true };
  const interfaces = parts.tap === null ? [] : [somebodysInterface(box.deviceMac)];
  await stage("warm up ready box", limitMs, signal, async (limited) => {
    await box.agent.configureSandbox(
      { ...nobody, interfaces, wallClockNs: nowNs(), entropy: randomBytes(entropyBytes) },
      limited,
    );
    await runContainer(box, parts, limited);
    await box.agent.stats({ sessionId: "", processes: false, brief: true }, limited);
  });
}

/** As CNI would have it, in ranges that are kept for documents (RFC 5737, RFC 3849), with a MAC that is not the device's. */
function somebodysInterface(deviceMac: string): Interface {
  const route = { source: "", metric: 0, mtu: 0, onLink: false };
  return {
    ...{ name: "eth0", mac: "02:00:00:00:00:01", deviceMac, mtu: 0, transmitQueue: 0 },
    ...{ promiscuous: false, allMulticast: false },
    addresses: ["198.51.100.2/24", "2001:db8::2/64"],
    routes: [
      { ...route, destination: "198.51.100.0/24", gateway: "" },
      { ...route, destination: "0.0.0.0/0", gateway: "198.51.100.1" },
      { ...route, destination: "2001:db8::/64", gateway: "" },
      { ...route, destination: "::/0", gateway: "2001:db8::1" },
    ],
    neighbours: [],
  };
}

/**
 * A Box that could not be warmed up is as good as another, and slower for its first container. One in which something of this
 * stays is not: it would be the pod's.
 */
async function runContainer(box: RunningBox, parts: WarmUpParts, signal: AbortSignal): Promise<void> {
  const own = join(box.handle.directory, "warm");
  const sessionId = newContainerId();
  const shared: SharedPath[] = [];
  try {
    const root = await shareRoot({ box, own, sessionId, shared }, parts, signal);
    await runSession(box, sessionId, root, parts, signal);
    parts.log.debug({ sandboxId: box.id, layered: root.layered !== undefined }, "ready Box warmed up");
  } catch (thrown) {
    signal.throwIfAborted();
    parts.log.warn({ sandboxId: box.id, err: messageOf(thrown) }, "a ready Box could not be warmed up");
  }
  await box.agent.deleteSession(sessionId, signal);
  for (const { hostPath } of shared.reverse()) await box.removeShared(hostPath);
  await parts.native.removeTree(own);
}

interface Rehearsal {
  readonly box: RunningBox;
  /** Directory for what the container writes. */
  readonly own: string;
  readonly sessionId: string;
  /** What is to be taken out of the share afterwards, in the order in which it came. */
  readonly shared: SharedPath[];
}

interface RehearsedRoot {
  readonly places: Omit<RehearsedPlaces, "sharedMemory">;
  readonly layered: LayeredRoot | undefined;
  readonly held: readonly string[];
}

/** As containers of pods have theirs: laid by the agent over layers that are files, where its guest can do that. */
async function shareRoot(
  { box, own, sessionId, shared }: Rehearsal,
  { guestBase }: WarmUpParts,
  signal: AbortSignal,
): Promise<RehearsedRoot> {
  const [upper, work] = [join(own, "upper"), join(own, "work")];
  for (const path of [own, upper, work]) await mkdir(path, { mode: 0o755 });
  const share = async (made: Promise<SharedPath>): Promise<string> => {
    const place = await made;
    shared.push(place);
    return place.guestPath;
  };
  const base = await realpath(guestBase); // what is mapped for the file server is mounted at its own place
  if (servesLayeredRoots(box.handle.driver) && (await box.agent.guest(signal)).layeredRoots) {
    const file = await share(box.shareBind("rehearsed", join(base, rehearsalLayer), true));
    const written = await share(box.shareBind(writtenPrefix, own, false, false));
    return {
      places: { root: layeredRootOf(sessionId), file, directory: written },
      layered: { layers: [file], written },
      held: [file, written],
    };
  }
  const root = await share(box.shareOverlay("warm", { lowers: [base], upper, work }));
  const places = { root, file: join(root, agent), directory: join(root, dirname(agent)) };
  return { places, layered: undefined, held: [root] };
}

/** One of our own agent alone, with one more process in it. Number 1 of it stays whatever runs in it. */
async function runSession(
  box: RunningBox,
  sessionId: string,
  { places, layered, held }: RehearsedRoot,
  { rehearsed }: WarmUpParts,
  signal: AbortSignal,
): Promise<void> {
  const spec = rehearsed.specOf([agent, "hold"], { ...places, sharedMemory: box.sharedMemory });
  const { bpf, flags } = await rehearsed.filter(signal);
  await box.agent.createSession(
    {
      ...{ sessionId, ociSpec: encoded(spec), root: layered, heldPaths: [...held], stdin: false },
      ...{ mirroredPaths: [], propagatedPaths: [], hugeVolumes: [], seccompBpf: bpf, seccompFlags: flags },
      apparmorPolicy: new Uint8Array(),
    },
    signal,
  );
  await box.agent.startSession(sessionId, signal);
  await runProcess(box, sessionId, { ...spec.process, args: [agent, "--version"] }, signal);
}

async function runProcess(
  { agent: guest }: RunningBox,
  sessionId: string,
  program: object,
  signal: AbortSignal,
): Promise<void> {
  const process = { sessionId, execId: "warm" };
  await guest.startExec({ ...process, ociProcess: encoded(program), stdin: false }, signal);
  const output = guest.output(process, 0n, true, signal);
  for await (const { end } of output) if (end) break;
  output.close();
  await guest.wait(process, signal);
  await guest.forgetExec(sessionId, process.execId, signal);
}

function encoded(json: object): Uint8Array {
  return Buffer.from(JSON.stringify(json));
}
