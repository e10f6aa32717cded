/** etcd and an API server that asks RBAC and writes down who asked for what; both can be killed and come back. */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { KubeConfig } from "@kubernetes/client-node";
import { KubeClient } from "../../../operator/src/kube/client.js";
import { kinds, pathOf } from "../../../operator/src/kube/kinds.js";
import { withLimit } from "../../../operator/src/kube/limit.js";
import { parseObject, textAt, textsAt } from "../../../operator/src/kube/json.js";
import { freePort } from "../free-port.js";
import { projectDirectory } from "../project.js";
import { eventually, limit } from "../wait.js";

const programs = join(projectDirectory, "build/assets/control-plane");
export const operatorUser = "system:serviceaccount:a3s-system:a3s-box-operator";

/** `resource verb`, with the group before a resource that is of one. */
export type Deed = string;

export class ApiServer {
  readonly directory: string;
  readonly port: number;
  readonly #etcdPorts: readonly [number, number];
  readonly #tokens = { admin: randomBytes(16).toString("hex"), operator: randomBytes(16).toString("hex") };
  readonly #end = new AbortController();
  #etcd: ChildProcess | undefined;
  #server: ChildProcess | undefined;
  /** Everything is allowed to it. */
  readonly admin: KubeClient;

  private constructor(directory: string, ports: readonly [number, number, number]) {
    this.directory = directory;
    this.port = ports[0];
    this.#etcdPorts = [ports[1], ports[2]];
    this.admin = new KubeClient(this.config("admin"), "test", this.#end.signal);
  }

  static async start(): Promise<ApiServer> {
    const directory = await mkdtemp(join(tmpdir(), "a3s-op"));
    const server = new ApiServer(directory, [await freePort(), await freePort(), await freePort()]);
    try {
      await server.#prepare();
      server.#launchEtcd();
      await server.launch();
    } catch (thrown) {
      const log = await readFile(join(directory, "kube-apiserver.log"), "utf8").catch(() => "");
      await server.remove();
      throw new Error(`the API server does not come up:\n${log.slice(-2000)}`, { cause: thrown });
    }
    return server;
  }

  /** For one of its two users; `port`: of something that stands before it. */
  config(user: "admin" | "operator", port = this.port): KubeConfig {
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      { name: "test", server: `https://127.0.0.1:${String(port)}`, skipTLSVerify: true },
      { name: user, token: this.#tokens[user] },
    );
    return config;
  }

  async kubeconfigFile(user: "admin" | "operator", port = this.port): Promise<string> {
    const path = join(this.directory, `${user}-${String(port)}.kubeconfig`);
    await writeFile(path, this.config(user, port).exportConfig(), { mode: 0o600 });
    return path;
  }

  async launch(): Promise<void> {
    const at = (name: string): string => join(this.directory, name);
    this.#server = this.#spawn("kube-apiserver", {
      ...{ "etcd-servers": `http://127.0.0.1:${String(this.#etcdPorts[0])}`, "bind-address": "127.0.0.1" },
      ...{ "secure-port": String(this.port), "cert-dir": at("certs"), "token-auth-file": at("tokens.csv") },
      ...{ "advertise-address": "127.0.0.1", "endpoint-reconciler-type": "none", "authorization-mode": "RBAC" },
      ...{ "service-account-issuer": "https://kubernetes.default.svc", "service-account-key-file": at("sa.key") },
      ...{ "service-account-signing-key-file": at("sa.key"), "service-cluster-ip-range": "10.98.0.0/16" },
      ...{ "audit-policy-file": at("audit.json"), "audit-log-path": at("audit.log"), "allow-privileged": "true" },
      "kubelet-preferred-address-types": "InternalIP",
    });
    await eventually("the API server is ready", 120_000, async () => {
      if (this.#server?.exitCode !== null) throw new Error("kube-apiserver has ended");
      await this.admin.ask("GET", "/api/v1/namespaces/kube-system", {});
      return true;
    });
  }

  /** With SIGKILL. */
  async kill(): Promise<void> {
    await killed(this.#server);
  }

  /** What a container has written, by its kubelet. */
  async logOf(namespace: string, pod: string): Promise<string> {
    const path = `${pathOf(kinds.pod, { namespace, name: pod })}/log`;
    return await withLimit(limit(20_000), [this.#end.signal], async (signal) => {
      const answer = await this.admin.open("GET", path, { accept: "*/*" }, signal);
      return await text(answer);
    });
  }

  /** What the operator has been allowed, and what it was refused since then: a server that has just started knows no roles yet. */
  async deedsOf(
    user: string,
    sinceMs: number,
  ): Promise<{ readonly allowed: ReadonlySet<Deed>; readonly refused: ReadonlySet<Deed> }> {
    const allowed = new Set<Deed>();
    const refused = new Set<Deed>();
    for (const line of (await readFile(join(this.directory, "audit.log"), "utf8")).split("\n")) {
      if (line === "") continue;
      const entry = parseObject(line);
      const resource = textAt(entry, "objectRef", "resource");
      if (textAt(entry, "user", "username") !== user || resource === undefined) continue;
      const group = textAt(entry, "objectRef", "apiGroup");
      const sub = textAt(entry, "objectRef", "subresource");
      const whole = `${group === undefined ? "" : `${group}/`}${resource}${sub === undefined ? "" : `/${sub}`}`;
      const isRefused = textAt(entry, "annotations", "authorization.k8s.io/decision") === "forbid";
      if (isRefused && Date.parse(textAt(entry, "requestReceivedTimestamp") ?? "") < sinceMs) continue;
      (isRefused ? refused : allowed).add(`${whole} ${textAt(entry, "verb") ?? ""}`);
    }
    return { allowed, refused };
  }

  async remove(): Promise<void> {
    this.#end.abort();
    await killed(this.#server);
    await killed(this.#etcd);
    await rm(this.directory, { recursive: true, force: true });
  }

  async #prepare(): Promise<void> {
    const at = (name: string): string => join(this.directory, name);
    await promisify(execFile)("openssl", ["genrsa", "-out", at("sa.key"), "2048"]);
    const { admin, operator } = this.#tokens;
    const groups = "system:serviceaccounts,system:authenticated";
    const lines = [`${admin},admin,1,"system:masters"`, `${operator},${operatorUser},2,"${groups}"`];
    await writeFile(at("tokens.csv"), `${lines.join("\n")}\n`, { mode: 0o600 });
    const rule = { level: "Metadata", users: [operatorUser], omitStages: ["RequestReceived"] };
    const policy = { apiVersion: "audit.k8s.io/v1", kind: "Policy", rules: [rule, { level: "None" }] };
    await writeFile(at("audit.json"), JSON.stringify(policy));
  }

  #launchEtcd(): void {
    const [client, peer] = this.#etcdPorts.map((port) => `http://127.0.0.1:${String(port)}`);
    this.#etcd = this.#spawn("etcd", {
      ...{ "data-dir": join(this.directory, "etcd"), "listen-client-urls": client ?? "" },
      ...{ "advertise-client-urls": client ?? "", "listen-peer-urls": peer ?? "", "unsafe-no-fsync": "true" },
      ...{ "initial-advertise-peer-urls": peer ?? "", "initial-cluster": `default=${peer ?? ""}` },
    });
  }

  #spawn(name: string, flags: Readonly<Record<string, string>>): ChildProcess {
    const log = openSync(join(this.directory, `${name}.log`), "a");
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const child = spawn(join(programs, name), args, { stdio: ["ignore", log, log] });
    closeSync(log);
    return child;
  }
}

export async function killed(child: ChildProcess | undefined, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), limit(15_000));
  await ended;
  clearTimeout(timer);
}

/** `group/resource verb` for each that the rules of a role have. */
export function deedsIn(rules: readonly unknown[]): ReadonlySet<Deed> {
  const deeds = new Set<Deed>();
  for (const rule of rules) {
    const parsed = parseObject(JSON.stringify(rule));
    for (const group of textsAt(parsed, "apiGroups")) {
      for (const resource of textsAt(parsed, "resources")) {
        for (const verb of textsAt(parsed, "verbs")) deeds.add(`${group === "" ? "" : `${group}/`}${resource} ${verb}`);
      }
    }
  }
  return deeds;
}
