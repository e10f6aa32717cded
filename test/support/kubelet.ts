/** A real kubelet, standalone: pods come from a directory of manifests, and what it knows is read from its own API. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { Agent, request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { cgroupHierarchies, type Daemon } from "./daemon.js";
import { nodeAddress } from "./node-network.js";
import { projectDirectory } from "./project.js";
import { eventually, limit } from "./wait.js";

/** `A3S_TEST_KUBELET=oldest`: the one that `npm run setup -- oldest-kubelet` has built. */
export const isOldestKubelet = process.env["A3S_TEST_KUBELET"] === "oldest";
const kubeletName = isOldestKubelet ? "kubelet-oldest" : "kubelet";
export const kubeletProgram = join(projectDirectory, "build/assets/bin", kubeletName);

/** Only one of a network namespace: the ports are fixed. */
const ports = { https: 20250, readOnly: 20255, health: 20248 };
export const nodeName = "node1";
export const readOnlyUrl = `http://127.0.0.1:${String(ports.readOnly)}`;
const usualNamespace = "default";

const stateSchema = z.looseObject({
  running: z.looseObject({ startedAt: z.string() }).optional(),
  waiting: z.looseObject({ reason: z.string().default(""), message: z.string().default("") }).optional(),
  terminated: z
    .looseObject({ exitCode: z.number(), reason: z.string().default(""), message: z.string().default("") })
    .optional(),
});
const containerSchema = z.looseObject({
  name: z.string(),
  ready: z.boolean(),
  restartCount: z.number(),
  containerID: z.string().default(""),
  imageID: z.string().default(""),
  state: stateSchema.default({}),
  lastState: stateSchema.default({}),
});
const podSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string(), namespace: z.string(), uid: z.string() }),
  status: z.looseObject({
    phase: z.string(),
    podIP: z.string().default(""),
    podIPs: z.array(z.looseObject({ ip: z.string() })).default([]),
    conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })).default([]),
    initContainerStatuses: z.array(containerSchema).default([]),
    containerStatuses: z.array(containerSchema).default([]),
  }),
});
export type PodView = z.infer<typeof podSchema>;
export type ContainerView = z.infer<typeof containerSchema>;

/** What it has of the runtime of its node, whose pods it asks for. */
export type PodRuntime = Pick<Daemon, "socket" | "cgroupParent" | "removePods">;

export interface KubeletOptions {
  /** Of the API server whose node it is; without one the pods are those of its directory. */
  readonly kubeconfig?: string;
  /** Members of its configuration. */
  readonly more?: Readonly<Record<string, unknown>>;
}

export class Kubelet {
  readonly base: string;
  readonly #runtime: PodRuntime;
  readonly #kubeconfig: string | undefined;
  #more: Readonly<Record<string, unknown>> = {};
  #process: ChildProcess | undefined;
  /** It makes these two wherever its root is; they go again where nobody had them. */
  readonly #strays: readonly string[];

  private constructor(base: string, runtime: PodRuntime, kubeconfig: string | undefined) {
    this.base = base;
    this.#kubeconfig = kubeconfig;
    this.#runtime = runtime;
    this.#strays = ["/var/lib/kubelet", "/var/log/containers"].filter((path) => !existsSync(path));
  }

  static async start(runtime: PodRuntime, { kubeconfig, more = {} }: KubeletOptions = {}): Promise<Kubelet> {
    const kubelet = new Kubelet(await mkdtemp(join(tmpdir(), "a3s-k")), runtime, kubeconfig);
    await mkdir(join(kubelet.base, "manifests"));
    await mkdir(join(kubelet.base, "logs"));
    await kubelet.reconfigure(more);
    await kubelet.launch();
    return kubelet;
  }

  /** Members of its configuration, on top of those that it has; for its next start. */
  async reconfigure(more: Readonly<Record<string, unknown>>): Promise<void> {
    this.#more = { ...this.#more, ...more };
    const config = { ...configuration(this.base, this.#runtime), ...this.#more };
    await writeFile(join(this.base, "config.json"), JSON.stringify(config, undefined, 2));
  }

  /** Starts the process on the directories there are, and waits until it is healthy. */
  async launch(): Promise<void> {
    const log = openSync(join(this.base, "kubelet.log"), "a");
    const directories = ["--root-dir", join(this.base, "root"), "--cert-dir", join(this.base, "certs")];
    const cluster = this.#kubeconfig === undefined ? [] : ["--kubeconfig", this.#kubeconfig];
    const config = ["--config", join(this.base, "config.json")];
    // Without an address it looks its name up whenever it takes a pod, and where nobody answers that takes 10 s each time.
    const node = ["--hostname-override", nodeName, "--node-ip", nodeAddress];
    const flags = [...config, ...directories, ...cluster, ...node, "-v", "4"];
    const child = spawn(kubeletProgram, flags, { stdio: ["ignore", log, log] });
    closeSync(log);
    this.#process = child;
    try {
      await eventually("the kubelet is healthy", 90_000, async () => {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error("it has ended");
        return (await fetch(`http://127.0.0.1:${String(ports.health)}/healthz`)).ok ? true : undefined;
      });
    } catch (thrown) {
      throw new Error(`the kubelet does not serve; its log:\n${await this.logTail()}`, { cause: thrown });
    }
  }

  get isRunning(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Ends the process; its pods stay. */
  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), limit(10_000));
    await ended;
    clearTimeout(timer);
  }

  /** Has a static pod run, or, when there is one of that name, replaces it. */
  async place(
    name: string,
    spec: Readonly<Record<string, unknown>>,
    namespace = usualNamespace,
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name, namespace, annotations }, spec };
    const file = namespace === usualNamespace ? `${name}.json` : `${namespace}.${name}.json`;
    // In one step: half a file would be a pod that can't be read.
    await writeFile(join(this.base, file), JSON.stringify(pod));
    await rename(join(this.base, file), join(this.base, "manifests", file));
  }

  /** Success when it is not there. */
  async withdraw(name: string): Promise<void> {
    await rm(join(this.base, "manifests", `${name}.json`), { force: true });
  }

  /** What the kubelet says of a pod; undefined when it knows none of that name. */
  async pod(name: string, namespace = usualNamespace): Promise<PodView | undefined> {
    const list = z.object({ items: z.array(podSchema).nullable() }).parse(await this.json("/pods"));
    const isIt = ({ metadata }: PodView): boolean =>
      metadata.name === `${name}-${nodeName}` && metadata.namespace === namespace;
    return list.items?.find(isIt);
  }

  /** Waits until the pod is as `wanted`, and answers it; the error tells how it was last. */
  async until(
    name: string,
    what: string,
    limitMs: number,
    wanted: (pod: PodView) => boolean,
    namespace = usualNamespace,
  ): Promise<PodView> {
    return await eventually(`${name} ${what}`, limitMs, async () => {
      const pod = await this.pod(name, namespace);
      if (pod !== undefined && wanted(pod)) return pod;
      throw new Error(pod === undefined ? "it is unknown" : JSON.stringify(pod.status));
    });
  }

  async ready(name: string, limitMs = 120_000): Promise<PodView> {
    return await this.until(name, "is Ready", limitMs, isReady);
  }

  /** A path of the read-only API, as JSON. */
  async json(path: string): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${String(ports.readOnly)}${path}`);
    if (!answer.ok) throw new Error(`${path}: HTTP ${String(answer.status)}: ${await answer.text()}`);
    return await answer.json();
  }

  /** A path of the read-only API, as text. */
  async text(path: string): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${String(ports.readOnly)}${path}`)).text();
  }

  /** A path of the API that can do things. The certificate is the kubelet's own. */
  url(path: string): string {
    return `https://127.0.0.1:${String(ports.https)}${path}`;
  }

  async secure(method: "GET" | "POST", path: string): Promise<string> {
    return await new Promise<string>((resolve, reject) => {
      const options = { method, agent: new Agent({ rejectUnauthorized: false }), timeout: limit(60_000) };
      const sent = httpsRequest(this.url(path), options, (answer) => {
        let body = "";
        answer.setEncoding("utf8").on("data", (part: string) => (body += part));
        answer.on("end", () => {
          if (answer.statusCode === 200) resolve(body);
          else reject(new Error(`${path}: HTTP ${String(answer.statusCode)}: ${body}`));
        });
      });
      sent.on("timeout", () => sent.destroy(new Error(`${path}: no answer`)));
      sent.on("error", reject);
      sent.end();
    });
  }

  async logTail(bytes = 6_000): Promise<string> {
    const text = await readFile(join(this.base, "kubelet.log"), "utf8").catch(() => "(no log)");
    return text.slice(-bytes);
  }

  /** Process, directories, and the groups that it makes for its pods. */
  async remove(): Promise<void> {
    await this.stop();
    await eventually("no pod and no group of a pod is left", 300_000, async () => {
      // What kubelet had asked for last may still be coming up, and is not listed before it is there.
      await this.#runtime.removePods();
      for (const hierarchy of await cgroupHierarchies()) {
        await removeGroups(join(hierarchy, this.#runtime.cgroupParent, "kubepods"));
      }
      return true;
    });
    const keep = process.env["A3S_TEST_KEEP"];
    if (keep !== undefined) await writeFile(join(keep, "kubelet.log"), await this.logTail(1 << 26));
    await this.unmount();
    await rm(this.base, { recursive: true, force: true });
    for (const path of this.#strays) await rm(path, { recursive: true, force: true });
  }

  /** Its root is a mount that it has made shared; volumes of pods that were not ended are below it. */
  async unmount(): Promise<void> {
    const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
    const paths = lines.map((line) => line.split(" ")[4] ?? "").filter((path) => path.startsWith(`${this.base}/`));
    for (const path of paths.reverse()) await promisify(execFile)("umount", [path]);
  }
}

export function isReady({ status }: PodView): boolean {
  return status.conditions.some(({ type, status: is }) => type === "Ready" && is === "True");
}

/** A group goes when those in it have gone. */
async function removeGroups(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => undefined);
  if (entries === undefined) return;
  for (const entry of entries) if (entry.isDirectory()) await removeGroups(join(directory, entry.name));
  await rmdir(directory);
}

/** KubeletConfiguration (kubelet.config.k8s.io/v1beta1). Evictions and image collection are off: the disk is the test's. */
function configuration(base: string, runtime: PodRuntime): Record<string, unknown> {
  const off = Object.fromEntries(
    ["memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"].map((name) => [name, "0%"]),
  );
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    failCgroupV1: false,
    containerRuntimeEndpoint: `unix://${runtime.socket}`,
    address: "127.0.0.1",
    port: ports.https,
    readOnlyPort: ports.readOnly,
    healthzBindAddress: "127.0.0.1",
    healthzPort: ports.health,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: "AlwaysAllow" },
    cgroupDriver: "cgroupfs",
    cgroupRoot: runtime.cgroupParent,
    cgroupsPerQOS: true,
    enforceNodeAllocatable: [],
    staticPodPath: join(base, "manifests"),
    podLogsDir: join(base, "logs"),
    fileCheckFrequency: "1s",
    syncFrequency: "5s",
    runtimeRequestTimeout: `${String(limit(120))}s`,
    evictionHard: off,
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    protectKernelDefaults: false,
    makeIPTablesUtilChains: false,
    failSwapOn: false,
    resolvConf: "",
    enableDebuggingHandlers: true,
  };
}
