/** etcd, API server, scheduler and controller manager of a cluster of one node, in the network namespace we are in. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectDirectory } from "./project.js";
import { eventually, limit } from "./wait.js";

const programs = join(projectDirectory, "build/assets/control-plane");
const serverUrl = "https://127.0.0.1:6443";

/** Whether the set-up has built them (`npm run setup -- cluster`). */
export function hasControlPlane(): boolean {
  return existsSync(join(programs, "kube-apiserver"));
}

export interface ControlPlaneOptions {
  /** RBAC: who may do what is as the cluster's objects say. Else everybody may do everything. */
  readonly authorization?: "RBAC";
  /** An API server and its store alone: nothing is scheduled, and nobody makes pods of what would have them. */
  readonly apiAlone?: true;
}

export class ControlPlane {
  readonly directory: string;
  readonly #children = new Map<string, ChildProcess>();
  /** kubectl that runs to its end: nobody may be left who waits for something of a cluster that is gone. */
  readonly #calls = new Set<ChildProcess>();

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const plane = new ControlPlane(await mkdtemp(join(tmpdir(), "a3s-p")));
    try {
      await plane.#launch(options);
    } catch (thrown) {
      const tails = await Promise.all([...plane.#children.keys()].map((name) => plane.logTail(name)));
      await plane.remove();
      const why = thrown instanceof Error ? thrown.message : "";
      throw new Error(`the control plane does not come up: ${why}\n${tails.join("\n")}`, { cause: thrown });
    }
    return plane;
  }

  /** For kubectl, the node, and whoever wants to look. */
  get kubeconfig(): string {
    return join(this.directory, "kubeconfig");
  }

  /** Runs kubectl to its end; answers its standard output. */
  async kubectl(...args: readonly string[]): Promise<string> {
    return await this.kubectlWith("", ...args);
  }

  /** The same with something on its standard input. */
  async kubectlWith(input: string, ...args: readonly string[]): Promise<string> {
    const options = { timeout: limit(180_000), maxBuffer: 1 << 26 };
    const running = promisify(execFile)(join(programs, "kubectl"), ["--kubeconfig", this.kubeconfig, ...args], options);
    this.#calls.add(running.child);
    // It may end without having read; what it says of that is its status.
    running.child.stdin?.on("error", () => undefined).end(input);
    try {
      return (await running).stdout;
    } finally {
      this.#calls.delete(running.child);
    }
  }

  /** Starts a kubectl that runs on, as port-forward does. */
  spawnKubectl(...args: readonly string[]): ChildProcess {
    const all = ["--kubeconfig", this.kubeconfig, ...args];
    return spawn(join(programs, "kubectl"), all, { stdio: ["pipe", "pipe", "pipe"] });
  }

  async apply(...objects: readonly object[]): Promise<void> {
    const list = { apiVersion: "v1", kind: "List", items: objects };
    await this.kubectlWith(JSON.stringify(list), "apply", "-f", "-");
  }

  async logTail(name: string, bytes = 1_500): Promise<string> {
    const text = await readFile(join(this.directory, `${name}.log`), "utf8").catch(() => "(no log)");
    return `--- ${name}\n${text.slice(-bytes)}`;
  }

  /** What uses the API first. */
  async remove(): Promise<void> {
    for (const call of this.#calls) call.kill("SIGKILL");
    for (const [name, child] of [...this.#children].reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill(name === "etcd" ? "SIGTERM" : "SIGKILL");
      const timer = setTimeout(() => child.kill("SIGKILL"), limit(5_000));
      await ended;
      clearTimeout(timer);
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  async #launch({ authorization, apiAlone }: ControlPlaneOptions): Promise<void> {
    const at = (name: string): string => join(this.directory, name);
    const token = randomBytes(16).toString("hex");
    await promisify(execFile)("openssl", ["genrsa", "-out", at("sa.key"), "2048"]);
    await writeFile(at("tokens.csv"), `${token},admin,1,"system:masters"\n`, { mode: 0o600 });
    await mkdir(at("certs"));
    await writeFile(this.kubeconfig, kubeconfig(token), { mode: 0o600 });
    const client = "http://127.0.0.1:2379";
    const etcd = { "data-dir": at("etcd"), "listen-client-urls": client, "advertise-client-urls": client };
    this.#start("etcd", { ...etcd, "listen-peer-urls": "http://127.0.0.1:2380", "unsafe-no-fsync": "true" });
    this.#start("kube-apiserver", {
      ...{ "etcd-servers": client, "secure-port": "6443", "cert-dir": at("certs") },
      // Pods come to it by the node's address; its certificate has the loopback's where nobody does.
      "bind-address": apiAlone === true ? "127.0.0.1" : "0.0.0.0",
      ...{
        "token-auth-file": at("tokens.csv"),
        "authorization-mode": authorization ?? "AlwaysAllow",
        "allow-privileged": "true",
      },
      "service-cluster-ip-range": "10.98.0.0/16",
      "service-account-issuer": "https://kubernetes.default.svc",
      ...{ "service-account-key-file": at("sa.key"), "service-account-signing-key-file": at("sa.key") },
      "kubelet-preferred-address-types": "InternalIP",
    });
    await eventually("the API server is ready", 120_000, () => this.#isReady());
    if (apiAlone === true) return;
    const common = { kubeconfig: this.kubeconfig, "leader-elect": "false", "authentication-skip-lookup": "true" };
    this.#start("kube-scheduler", common);
    this.#start("kube-controller-manager", {
      ...common,
      ...{ "service-account-private-key-file": at("sa.key"), "root-ca-file": at("certs/apiserver.crt") },
    });
    await eventually("the default service account is there", 120_000, async () => {
      await this.kubectl("get", "serviceaccount", "default");
      return true;
    });
  }

  #start(name: string, flags: Readonly<Record<string, string>>): void {
    const log = openSync(join(this.directory, `${name}.log`), "a");
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const child = spawn(join(programs, name), args, { stdio: ["ignore", log, log] });
    closeSync(log);
    this.#children.set(name, child);
  }

  async #isReady(): Promise<true | undefined> {
    for (const [name, { exitCode }] of this.#children) {
      if (exitCode !== null) throw new Error(`${name} has ended with ${String(exitCode)}`);
    }
    return (await this.kubectl("get", "--raw", "/readyz")) === "ok" ? true : undefined;
  }
}

/** The API server's certificate is its own, and so is the namespace: nobody else is at that address. */
function kubeconfig(token: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "a3s", cluster: { server: serverUrl, "insecure-skip-tls-verify": true } }],
    users: [{ name: "admin", user: { token } }],
    contexts: [{ name: "a3s", context: { cluster: "a3s", user: "admin" } }],
    "current-context": "a3s",
  });
}
