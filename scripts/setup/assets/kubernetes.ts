import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../../src/base/errors.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { run, type SetupContext, tryRun } from "../run.js";

/** Folder of the Go module that pins all of them, with the digests of all that they are built from. */
const moduleFolder = "scripts/setup/kubernetes";
/** Name of the program: path of its package. */
const nodePrograms = { kubelet: "k8s.io/kubernetes/cmd/kubelet" };
/** What others wrote for the other end: client-go's executors, kubelet's log reader. */
const clientFolder = "test/support/kube-client";
const clientPrograms = { "kube-client": "." };
/** containerd's default seccomp profile, which ours is compared with. */
const seccompFolder = "test/support/seccomp-reference";
const seccompPrograms = { "seccomp-reference": "." };
/** The proxy of services; apart, so that what it needs does not have the kubelet built anew. */
const proxyFolder = "scripts/setup/kube-proxy";
const proxyPrograms = { "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy" };
const planePrograms = {
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
  "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
  kubectl: "k8s.io/kubernetes/cmd/kubectl",
  etcd: "go.etcd.io/etcd/server/v3",
};

/** Folder with a `kubelet`; undefined without a Go that can build it: what needs it is skipped then, and says so. */
export async function kubelet(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "kubelet", moduleFolder, nodePrograms);
}

/** The same of the oldest Kubernetes that is supported. */
export async function oldestKubelet(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "kubelet-oldest", "scripts/setup/kubelet-oldest", nodePrograms);
}

/** Folder with the programs of a control plane and `kubectl`. */
export async function controlPlane(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "control-plane", moduleFolder, planePrograms);
}

/** Folder with a `kube-proxy`. */
export async function kubeProxy(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "kube-proxy", proxyFolder, proxyPrograms);
}

/** Folder with a `kube-client`, for the tests of the streaming server. */
export async function kubeClient(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "kube-client", clientFolder, clientPrograms);
}

/** Folder with a `seccomp-reference`. */
export async function seccompReference(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "seccomp-reference", seccompFolder, seccompPrograms);
}

async function goPrograms(
  context: SetupContext,
  name: string,
  folder: string,
  programs: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const cwd = join(context.root, folder);
  const text = await readFile(join(cwd, "go.mod"), "utf8");
  const version = /^go (\S+)$/m.exec(text)?.[1] ?? "";
  const compiler = await tryRun("go", ["version"], { signal: context.signal, cwd: context.root });
  if (compiler === undefined || !isAtLeast(compiler, version)) {
    context.say(`${name}: not built, needs Go ${version} or newer; here is ${compiler?.trim() ?? "none"}`);
    return undefined;
  }
  const inputs = [compiler, JSON.stringify(programs), ...(await sourceInputs(context.root, [folder]))];
  return await cached(context, {
    name,
    inputs,
    build: async (into, logFile) => {
      const flags = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", linkerFlags(text)];
      for (const [program, path] of Object.entries(programs)) {
        const args = ["build", ...flags, "-o", join(into, program), path];
        const build = (): Promise<string> => run("go", args, { signal: context.signal, cwd, logFile });
        // Once more: Go does not repeat a download that broke off, and what is built already is not built again.
        await build().catch((thrown: unknown) => {
          context.signal.throwIfAborted();
          context.say(`${name}: once more, after ${messageOf(thrown).split("\n")[0] ?? ""}`);
          return build();
        });
      }
    },
  });
}

/** Without a version of its own a component of Kubernetes calls itself v0.0.0-master. */
function linkerFlags(goMod: string): string {
  const version = /^\tk8s\.io\/kubernetes (v(\d+)\.(\d+)\.\S+)$/m.exec(goMod);
  if (version === null) return "-s -w";
  const [, whole = "", major = "", minor = ""] = version;
  const to = "k8s.io/component-base/version";
  return `-s -w -X ${to}.gitVersion=${whole} -X ${to}.gitMajor=${major} -X ${to}.gitMinor=${minor}`;
}

function isAtLeast(compiler: string, wanted: string): boolean {
  const has = /go(\d+)\.(\d+)/.exec(compiler);
  const needs = /^(\d+)\.(\d+)/.exec(wanted);
  if (has === null || needs === null) return false;
  const [major, minor] = [Number(has[1]) - Number(needs[1]), Number(has[2]) - Number(needs[2])];
  return major > 0 || (major === 0 && minor >= 0);
}
