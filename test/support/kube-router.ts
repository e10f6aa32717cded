/** kube-router's controller of NetworkPolicies, as a CNI has one on each node: in the network namespace that this process is in. */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ControlPlane } from "./control-plane.js";
import { nodeName } from "./kubelet.js";
import { projectDirectory } from "./project.js";
import { limit } from "./wait.js";

const program = join(projectDirectory, "build/assets/bin/kube-router");

/** Whether the set-up has built it (`npm run setup -- cluster`). */
export function hasKubeRouter(): boolean {
  return existsSync(program);
}

export class KubeRouter {
  readonly #child: ChildProcess;
  readonly #log: string;

  private constructor(child: ChildProcess, log: string) {
    this.#child = child;
    this.#log = log;
  }

  /** It writes its rules a moment later. */
  static start({ directory, kubeconfig }: ControlPlane): KubeRouter {
    const log = join(directory, "kube-router.log");
    const flags = {
      ...{ kubeconfig, "hostname-override": nodeName, "service-cluster-ip-range": "10.98.0.0/16" },
      // Routes and services are others' here.
      ...{ "run-firewall": "true", "run-router": "false", "run-service-proxy": "false", "enable-cni": "false" },
      "health-port": "0",
    };
    const output = openSync(log, "a");
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const child = spawn(program, args, { stdio: ["ignore", output, output] });
    closeSync(output);
    return new KubeRouter(child, log);
  }

  async logTail(bytes = 3_000): Promise<string> {
    return (await readFile(this.#log, "utf8")).slice(-bytes);
  }

  /** Its rules go with the namespace. */
  async remove(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), limit(5_000));
    await ended;
    clearTimeout(timer);
  }
}
