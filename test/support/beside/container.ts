/** One container of the table, from its creation to its removal, and what was to be seen of it on the way. */
import { mkdir, mkdtemp, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import {
  ContainerState,
  NamespaceMode,
  type ContainerStatus,
  type DeepPartial,
  type LinuxContainerResources,
  type LinuxContainerSecurityContext,
} from "../../../src/gen/runtime/v1/api.js";
import { isServiceError, runtime, status as codes } from "../cri-client.js";
import {
  containerConfig,
  containerStatus,
  exec,
  removeContainer,
  type ContainerConfigPart,
  type Pod,
} from "../pods.js";
import { eventually } from "../wait.js";
import type { Side } from "./bed.js";
import { fieldsOf, type Seen } from "./seen.js";
import { statusFields } from "./status.js";

/** Where a container of the table is made. */
export interface Place {
  readonly side: Side;
  readonly pod: Pod;
  /** Of this container alone, on the host. */
  readonly directory: string;
}

export interface Wish {
  /** One of `images`; "plain" unless given. */
  readonly image?: string;
  /** Shell lines that print "@@NAME" and what belongs to the field; the container's program unless `part` names another. */
  readonly probe?: string;
  readonly part?: ContainerConfigPart | ((place: Place) => ContainerConfigPart | Promise<ContainerConfigPart>);
  readonly security?: DeepPartial<LinuxContainerSecurityContext>;
  readonly resources?: DeepPartial<LinuxContainerResources>;
  /** Commands by ExecSync, in this order, once it says "@@ready". It is stopped afterwards. */
  readonly execs?: Readonly<Record<string, readonly string[]>>;
  /** Seconds given to StopContainer; 0 unless given. */
  readonly grace?: bigint;
  /** The field that all of its output is. */
  readonly raw?: string;
  /** All of ContainerStatus, where it is created, runs and has ended. */
  readonly wholeStatus?: boolean;
}

/** Of kubelet's defaults (ConvertToRuntimeMaskedPaths) those that every kernel has, and one that none has. */
const maskedPaths = ["/proc/interrupts", "/proc/keys", "/proc/timer_list", "/proc/not/there", "/sys/firmware"];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** As kubelet asks where the pod's author has said nothing. */
const usual = { namespaceOptions: { pid: NamespaceMode.CONTAINER }, maskedPaths, readonlyPaths };

export async function runContainer(side: Side, pod: Pod, wish: Wish): Promise<Seen> {
  const directory = await mkdtemp(join(side.directory, "v-"));
  const place = { side, pod, directory };
  const part = typeof wish.part === "function" ? await wish.part(place) : (wish.part ?? {});
  const config = containerConfig({
    image: { image: imageOf(side, wish.image ?? "plain") },
    linux: { securityContext: { ...usual, ...wish.security }, resources: wish.resources },
    command: wish.probe === undefined ? [] : ["sh", "-c", wish.probe],
    ...part,
    metadata: { name: basename(directory), attempt: 0 },
  });
  config.logPath = part.logPath ?? `${basename(directory)}.log`;
  const seen: Record<string, string> = {};
  let containerId = "";
  try {
    const asked = { podSandboxId: pod.id, config, sandboxConfig: pod.config };
    ({ containerId } = await side.cri.call(runtime.createContainer, asked));
    seen["create"] = "OK";
  } catch (thrown) {
    Object.assign(seen, failed("create", thrown));
    return seen;
  }
  const names = new Map([
    [containerId, "<id>"],
    [pod.id, "<sandbox>"],
    [pod.config.logDirectory, "<logs>"],
    [directory, "<directory>"],
    [basename(directory), "<name>"],
    [side.directory, "<side>"],
    [side.registry, "<registry>"],
  ]);
  try {
    Object.assign(
      seen,
      await live(place, containerId, wish, [...config.command, ...config.args].join(" ").includes("@@end")),
    );
    return Object.fromEntries(Object.entries(seen).map(([field, text]) => [plain(field, names), plain(text, names)]));
  } finally {
    await removeContainer(side, containerId);
  }
}

async function live({ side }: Place, containerId: string, wish: Wish, saysEnd: boolean): Promise<Seen> {
  const seen: Record<string, string> = {};
  const look = async (when: string): Promise<void> => {
    if (wish.wholeStatus === true) Object.assign(seen, statusFields(when, await containerStatus(side, containerId)));
  };
  await look("created");
  try {
    await side.cri.call(runtime.startContainer, { containerId });
    seen["start"] = "OK";
  } catch (thrown) {
    Object.assign(seen, failed("start", thrown));
    Object.assign(seen, endOf(await containerStatus(side, containerId)));
    return seen;
  }
  if (wish.execs !== undefined) {
    await eventually("it is ready", 60_000, async () =>
      (await logText(side, containerId)).includes("@@ready") ? true : undefined,
    );
    await look("running");
    for (const [name, cmd] of Object.entries(wish.execs))
      Object.assign(seen, await execFields(side, containerId, name, cmd));
    await side.cri.call(runtime.stopContainer, { containerId, timeout: wish.grace ?? 0n });
  }
  const ended = await eventually("it has ended", 60_000, async () => {
    const status = await containerStatus(side, containerId);
    return status.state === ContainerState.CONTAINER_EXITED ? status : undefined;
  });
  await look("ended");
  Object.assign(seen, endOf(ended));
  const output = await eventually("its log has ended", 60_000, async () => {
    const text = await logText(side, containerId);
    return wish.raw !== undefined ? text || undefined : !saysEnd || /^@@end$/m.test(text) ? text : undefined;
  });
  if (wish.raw !== undefined) return { ...seen, [wish.raw]: output.trim().replaceAll("\n", "; ") };
  Object.assign(seen, fieldsOf(output.replace(/^@@(end|ready)\n/gm, "")));
  return seen;
}

/** The text of both streams, without what the CRI format adds. */
async function logText(side: Side, containerId: string): Promise<string> {
  const { logPath } = await containerStatus(side, containerId);
  if (logPath === "") return "";
  const text = await readFile(logPath, "utf8");
  return text.replace(/^\S+ (?:stdout|stderr) ([PF]) (.*)\n/gm, (_line, tag, content) =>
    `${String(content)}${tag === "F" ? "\n" : ""}`.replace(/\r\n$/, "\n"),
  );
}

async function execFields(side: Side, containerId: string, name: string, cmd: readonly string[]): Promise<Seen> {
  try {
    const { stdout, stderr, exitCode } = await exec(side, containerId, cmd);
    const fields = fieldsOf(stdout);
    if (Object.keys(fields).length > 0) {
      return Object.fromEntries(Object.entries(fields).map(([field, text]) => [`exec ${name} ${field}`, text]));
    }
    return { [`exec ${name}`]: `${String(exitCode)} ${JSON.stringify(stdout)} ${JSON.stringify(stderr)}` };
  } catch (thrown) {
    return failed(`exec ${name}`, thrown);
  }
}

function stateName(state: ContainerState): string {
  return Object.entries(ContainerState).find(([, value]) => value === state)?.[0] ?? String(state);
}

function endOf({ state, exitCode, reason, message, createdAt, startedAt, finishedAt }: ContainerStatus): Seen {
  const times = Object.entries({ createdAt, startedAt, finishedAt }).filter(([, time]) => time !== 0n);
  return {
    state: stateName(state),
    "exit code": String(exitCode),
    reason,
    "message says": phrasesOf(message),
    times: times.map(([name]) => name).join(", "),
  };
}

export function failed(what: string, thrown: unknown): Seen {
  if (!isServiceError(thrown)) throw thrown;
  return { [what]: codes[thrown.code], [`${what} says`]: phrasesOf(thrown.details) };
}

/** What people and programs look for in messages whose other words are each runtime's own. */
const phrases = [
  ...["executable file not found", "no such file or directory", "permission denied", "exec format error"],
  ...["not a directory", "is a directory", "no command specified", "invalid argument"],
];

function phrasesOf(message: string): string {
  if (message === "") return "";
  const found = phrases.filter((phrase) => message.toLowerCase().includes(phrase));
  return found.length === 0 ? "something" : found.join(", ");
}

/** One of `images`, as this side's registry has it. */
export function imageOf({ registry }: Side, name: string): string {
  return `${registry}/${name}:1`;
}

export function plain(text: string, names: ReadonlyMap<string, string>): string {
  let result = text;
  for (const [from, to] of names) result = result.replaceAll(from, to);
  return result;
}

/** A directory of the host, for a volume. */
export async function hostDirectory({ directory }: Place, name: string, mode = 0o755): Promise<string> {
  const path = join(directory, name);
  await mkdir(path, { recursive: true, mode });
  return path;
}

export async function modeOf(path: string): Promise<string> {
  const { mode, uid, gid } = await stat(path);
  return `${(mode & 0o7777).toString(8)} ${String(uid)}:${String(gid)}`;
}
