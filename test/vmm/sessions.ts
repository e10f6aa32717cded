/** Sessions of a Box by the agent's own API, without a daemon. */
import { randomBytes } from "node:crypto";
import { newContainerId } from "../../src/base/ids.js";
import type { Box } from "../../src/vmm/box.js";
import { within, type BoxBench } from "./bench-of-boxes.js";

export interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

export interface Running {
  readonly id: string;
  exec(process: object): Promise<Ended>;
  /** Output and status of init; waits for its exit. */
  ended(): Promise<Ended>;
  remove(): Promise<void>;
}

export interface Wanted {
  /** OCI config.json for a root at this path of the guest. */
  readonly spec: (root: string) => object;
  readonly seccompBpf?: Uint8Array;
  /** Of the profile that the spec's process names. */
  readonly apparmorPolicy?: Uint8Array;
  /** Paths of the guest that the agent visits first, with the root. */
  readonly held?: readonly string[];
  /** Runs a step of the start; to measure it. */
  readonly step?: (name: "create" | "start", work: () => Promise<unknown>) => Promise<unknown>;
}

/** Creates and starts a session on a busybox root of its own. What fails leaves nothing. */
export async function startSession(box: Box, bench: BoxBench, wanted: Wanted): Promise<Running> {
  const sessionId = newContainerId();
  const root = await box.shareOverlay("root", await bench.snapshot());
  const { agent } = box;
  const remove = async (): Promise<void> => {
    await agent.deleteSession(sessionId, within(30_000));
    await box.removeShared(root.hostPath);
  };
  try {
    const request = {
      sessionId,
      ociSpec: Buffer.from(JSON.stringify(wanted.spec(root.guestPath))),
      heldPaths: [root.guestPath, ...(wanted.held ?? [])],
      mirroredPaths: [],
      propagatedPaths: [],
      hugeVolumes: [],
      root: undefined,
      seccompBpf: wanted.seccompBpf ?? new Uint8Array(),
      seccompFlags: 0,
      apparmorPolicy: wanted.apparmorPolicy ?? new Uint8Array(),
      stdin: false,
    };
    const step = wanted.step ?? ((_name, work) => work());
    await step("create", () => agent.createSession(request, within(30_000)));
    await step("start", () => agent.startSession(sessionId, within(30_000)));
  } catch (thrown) {
    await remove();
    throw thrown;
  }
  return {
    id: sessionId,
    remove,
    ended: () => collect(box, { sessionId, execId: "" }),
    exec: async (process) => {
      const execId = `e-${randomBytes(6).toString("hex")}`;
      const ociProcess = Buffer.from(JSON.stringify(process));
      await agent.startExec({ sessionId, execId, ociProcess, stdin: false }, within(30_000));
      try {
        return await collect(box, { sessionId, execId });
      } finally {
        await agent.forgetExec(sessionId, execId, within(30_000));
      }
    },
  };
}

async function collect({ agent }: Box, ref: { sessionId: string; execId: string }): Promise<Ended> {
  const output = { 1: "", 2: "" };
  for await (const { stream, data } of agent.output(ref, 0n, true, within(30_000))) {
    if (stream === 1 || stream === 2) output[stream] += Buffer.from(data).toString();
  }
  const { code } = await agent.wait(ref, within(30_000));
  return { stdout: output[1], stderr: output[2], code };
}
