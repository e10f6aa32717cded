import type { SetupContext } from "../run.js";
import { goPrograms } from "./go-programs.js";

/** Directory of the Go module that pins all of them, with the digests of all that they are built from. */
const moduleDirectory = "scripts/setup/kubernetes";
/** Name of the program: path of its package. */
const nodePrograms = { kubelet: "k8s.io/kubernetes/cmd/kubelet" };
/** What others wrote for the other end: client-go's executors, kubelet's log reader. */
const clientDirectory = "test/support/kube-client";
const clientPrograms = { "kube-client": "." };
/** containerd's default seccomp profile, which ours is compared with. */
const seccompDirectory = "test/support/seccomp-reference";
const seccompPrograms = { "seccomp-reference": "." };
/** The proxy of services; apart, so that what it needs does not have the kubelet built anew. */
const proxyDirectory = "scripts/setup/kube-proxy";
const proxyPrograms = { "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy" };
/** A CNI's controller of NetworkPolicies. */
const policyDirectory = "test/support/kube-router";
const policyPrograms = { "kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router" };
const planePrograms = {
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
  "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
  kubectl: "k8s.io/kubernetes/cmd/kubectl",
  etcd: "go.etcd.io/etcd/server/v3",
};

/** Directory with a `kubelet`; undefined without a Go that can build it: what needs it is skipped then, and says so. */
export async function kubelet(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "kubelet", moduleDirectory, nodePrograms);
}

/** The same of the oldest Kubernetes that is supported. */
export async function oldestKubelet(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "kubelet-oldest", "scripts/setup/kubelet-oldest", nodePrograms);
}

/** Directory with the programs of a control plane and `kubectl`. */
export async function controlPlane(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "control-plane", moduleDirectory, planePrograms);
}

/** Directory with a `kube-proxy`. */
export async function kubeProxy(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "kube-proxy", proxyDirectory, proxyPrograms);
}

/** Directory with a `kube-router`. */
export async function kubeRouter(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "kube-router", policyDirectory, policyPrograms, { env: { CGO_ENABLED: "0" } });
}

/** Directory with a `kube-client`, for the tests of the streaming server. */
export async function kubeClient(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "kube-client", clientDirectory, clientPrograms);
}

/** Directory with a `seccomp-reference`. */
export async function seccompReference(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "seccomp-reference", seccompDirectory, seccompPrograms);
}
