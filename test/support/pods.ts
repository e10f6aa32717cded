/** Pods and containers as kubelet or the CRI validation suite would ask for them, and what one does with them in a test. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  ContainerConfig,
  ContainerState,
  LinuxPodSandboxConfig,
  PodSandboxConfig,
  type ContainerStatus,
  type DeepPartial,
  type PodSandboxStatus,
} from "../../src/gen/runtime/v1/api.js";
import { runtime, type CriClient } from "./cri-client.js";
import { busyboxImage } from "./images.js";
import { eventually, secondsLimit } from "./wait.js";

/** A runtime, and where its pods have their logs and control groups. A `Daemon` is one. */
export interface PodHost {
  readonly cri: CriClient;
  readonly logs: string;
  readonly cgroupParent: string;
}

export interface Pod {
  readonly id: string;
  readonly config: PodSandboxConfig;
}

export type PodConfigPart = DeepPartial<PodSandboxConfig>;
export type ContainerConfigPart = DeepPartial<ContainerConfig>;

/** Small enough for many at once, large enough for a busybox. */
const smallPod = { resources: { memoryLimitInBytes: 256n << 20n } };

export function podConfig(daemon: PodHost, part: PodConfigPart = {}): PodSandboxConfig {
  const uid = randomBytes(8).toString("hex");
  const config = PodSandboxConfig.fromPartial({
    metadata: { name: `pod-${uid}`, uid, namespace: "test", attempt: 2 },
    logDirectory: join(daemon.logs, uid),
  });
  const linux = LinuxPodSandboxConfig.fromPartial({ cgroupParent: daemon.cgroupParent, ...smallPod, ...part.linux });
  return { ...config, ...present(PodSandboxConfig.fromPartial(part), part), linux };
}

/** Of a whole message, the members that the part names. */
function present<T extends object>(whole: T, part: object): Partial<T> {
  const chosen: Partial<T> = {};
  for (const name of Object.keys(part)) {
    if (isKeyOf(name, whole)) chosen[name] = whole[name];
  }
  return chosen;
}

function isKeyOf<T extends object>(name: string, of: T): name is Extract<keyof T, string> {
  return name in of;
}

/** The handler of pods that a test has no wish for; the daemon's config must have it. */
export const testHandler = process.env["A3S_TEST_HANDLER"] ?? "";

export async function runPod(daemon: PodHost, part: PodConfigPart = {}, runtimeHandler = testHandler): Promise<Pod> {
  const config = podConfig(daemon, part);
  if (config.logDirectory !== "") await mkdir(config.logDirectory, { recursive: true, mode: 0o755 });
  const { podSandboxId } = await daemon.cri.call(runtime.runPodSandbox, { config, runtimeHandler });
  return { id: podSandboxId, config };
}

export async function removePod(daemon: PodHost, pod: Pod): Promise<void> {
  await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: pod.id });
  await daemon.cri.call(runtime.removePodSandbox, { podSandboxId: pod.id });
}

export async function podStatus(daemon: PodHost, id: string): Promise<PodSandboxStatus> {
  const { status } = await daemon.cri.call(runtime.podSandboxStatus, { podSandboxId: id });
  if (status === undefined) throw new Error("PodSandboxStatus without a status");
  return status;
}

/** The process of a pod's VMM, from its verbose status. */
export async function vmmPid(daemon: PodHost, { id }: Pick<Pod, "id">): Promise<number> {
  const { info } = await daemon.cri.call(runtime.podSandboxStatus, { podSandboxId: id, verbose: true });
  const facts: unknown = JSON.parse(info["info"] ?? "null");
  if (typeof facts !== "object" || facts === null || !("vmmPid" in facts) || typeof facts.vmmPid !== "number") {
    throw new Error(`no vmmPid in the verbose status: ${info["info"] ?? ""}`);
  }
  return facts.vmmPid;
}

/** A container of busybox that runs `top` until it is told otherwise. */
export function containerConfig(part: ContainerConfigPart = {}): ContainerConfig {
  const name = `ctr-${randomBytes(4).toString("hex")}`;
  const config = ContainerConfig.fromPartial({
    metadata: { name, attempt: 2 },
    image: { image: busyboxImage },
    command: ["top"],
    logPath: `${name}.log`,
    linux: {},
  });
  return { ...config, ...present(ContainerConfig.fromPartial(part), part) };
}

export async function createContainer(daemon: PodHost, pod: Pod, part: ContainerConfigPart = {}): Promise<string> {
  const { containerId } = await daemon.cri.call(runtime.createContainer, {
    podSandboxId: pod.id,
    config: containerConfig(part),
    sandboxConfig: pod.config,
  });
  return containerId;
}

export async function startContainer(daemon: PodHost, pod: Pod, part: ContainerConfigPart = {}): Promise<string> {
  const containerId = await createContainer(daemon, pod, part);
  await daemon.cri.call(runtime.startContainer, { containerId });
  return containerId;
}

export async function removeContainer(daemon: PodHost, containerId: string): Promise<void> {
  await daemon.cri.call(runtime.stopContainer, { containerId, timeout: 0n });
  await daemon.cri.call(runtime.removeContainer, { containerId });
}

export async function containerStatus(daemon: PodHost, containerId: string): Promise<ContainerStatus> {
  const { status } = await daemon.cri.call(runtime.containerStatus, { containerId });
  if (status === undefined) throw new Error("ContainerStatus without a status");
  return status;
}

/** Waits for the container's end by itself. */
export async function exited(daemon: PodHost, containerId: string, limitMs = 20_000): Promise<ContainerStatus> {
  return await eventually(`container ${containerId.slice(0, 12)} has exited`, limitMs, async () => {
    const status = await containerStatus(daemon, containerId);
    return status.state === ContainerState.CONTAINER_EXITED ? status : undefined;
  });
}

/** Waits for the first line in the container's log: its program runs. */
export async function saidSomething(daemon: PodHost, containerId: string, lines = 1): Promise<void> {
  const { logPath } = await containerStatus(daemon, containerId);
  await eventually(`container ${containerId.slice(0, 12)} has printed ${String(lines)} lines`, 20_000, async () =>
    (await logLines(logPath)).length >= lines ? true : undefined,
  );
}

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

export async function exec(
  daemon: PodHost,
  containerId: string,
  cmd: readonly string[],
  timeoutSeconds = 30,
): Promise<ExecResult> {
  const timeout = secondsLimit(timeoutSeconds);
  const done = await daemon.cri.call(runtime.execSync, { containerId, cmd: [...cmd], timeout });
  return { stdout: done.stdout.toString(), stderr: done.stderr.toString(), exitCode: done.exitCode };
}

/** As `exec`, of a shell line that must succeed and say nothing on stderr. */
export async function shell(daemon: PodHost, containerId: string, line: string): Promise<string> {
  const done = await exec(daemon, containerId, ["sh", "-c", line]);
  if (done.exitCode !== 0 || done.stderr !== "") {
    throw new Error(`"${line}" ended with ${done.exitCode}: ${done.stderr}${done.stdout}`);
  }
  return done.stdout;
}

/** Runs a shell line as the container's program, to its end; answers its standard output from the log. */
export async function runToEnd(
  daemon: PodHost,
  pod: Pod,
  line: string,
  part: ContainerConfigPart = {},
): Promise<string> {
  const containerId = await startContainer(daemon, pod, { command: ["sh", "-c", line], ...part });
  const status = await exited(daemon, containerId);
  const lines = await logLines(status.logPath);
  await removeContainer(daemon, containerId);
  return lines
    .filter((entry) => entry.stream === "stdout")
    .map((entry) => entry.text + (entry.tag === "F" ? "\n" : ""))
    .join("");
}

export interface LogLine {
  readonly time: string;
  readonly stream: string;
  readonly tag: string;
  readonly text: string;
}

/** A log file in the CRI format: "<RFC 3339 with nanoseconds> <stdout|stderr> <P|F> <text>". Refuses anything else. */
export async function logLines(path: string): Promise<LogLine[]> {
  const text = await readFile(path, "utf8");
  if (text === "") return [];
  if (!text.endsWith("\n")) throw new Error(`${path} ends in the middle of a line`);
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => {
      const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF]) (.*)$/s.exec(
        line,
      );
      if (match === null) throw new Error(`not a CRI log line: ${JSON.stringify(line.slice(0, 200))}`);
      const [, time = "", stream = "", tag = "", content = ""] = match;
      return { time, stream, tag, text: content };
    });
}
