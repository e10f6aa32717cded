/** kube-proxy as clusters have it: a system pod of every node, with the node's network and privileged. */
import { dirname, join } from "node:path";
import { busyboxImage } from "./images.js";
import { projectDirectory } from "./project.js";

const program = join(projectDirectory, "build/assets/kube-proxy/kube-proxy");
const namespace = "kube-system";
const name = "kube-proxy";

/** The kubeconfig is a file of the node; iptables and its libraries are the node's too. */
export function kubeProxy(kubeconfig: string, node: string, podSubnet: string): object {
  const labels = { app: name };
  const mounts: [string, string][] = [
    ...["/usr", "/etc/alternatives"].map((path): [string, string] => [path, path]),
    ...["lib", "lib64"].map((path): [string, string] => [`/usr/${path}`, `/${path}`]),
    [dirname(program), "/kube-proxy"],
    [dirname(kubeconfig), "/config"],
  ];
  const container = {
    ...{ name, image: busyboxImage, imagePullPolicy: "Never", securityContext: { privileged: true } },
    command: ["/kube-proxy/kube-proxy", ...flags(node, podSubnet)],
    env: [{ name: "PATH", value: "/usr/sbin:/usr/bin:/bin" }],
    readinessProbe: { httpGet: { path: "/healthz", port: 10256 }, periodSeconds: 1 },
    resources: { requests: { cpu: "100m" } },
    volumeMounts: [
      ...mounts.map(([, mountPath], index) => ({ name: `host-${String(index)}`, mountPath, readOnly: true })),
      { name: "run", mountPath: "/run" }, // iptables has its lock there
    ],
  };
  const volumes = [
    ...mounts.map(([path], index) => ({ name: `host-${String(index)}`, hostPath: { path, type: "Directory" } })),
    { name: "run", emptyDir: {} },
  ];
  const spec = {
    ...{ hostNetwork: true, priorityClassName: "system-node-critical", automountServiceAccountToken: false },
    ...{ tolerations: [{ operator: "Exists" }], terminationGracePeriodSeconds: 2, containers: [container], volumes },
  };
  return {
    ...{ apiVersion: "apps/v1", kind: "DaemonSet", metadata: { name, namespace } },
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  };
}

function flags(node: string, podSubnet: string): string[] {
  const all = {
    kubeconfig: "/config/kubeconfig",
    "hostname-override": node,
    "proxy-mode": "iptables",
    "cluster-cidr": podSubnet,
    // Pods of one bridge answer each other without it unless the kernel has the bridge ask iptables.
    "masquerade-all": "true",
    // Not those of a namespace.
    "conntrack-max-per-core": "0",
    "conntrack-tcp-timeout-established": "0s",
    "conntrack-tcp-timeout-close-wait": "0s",
  };
  return Object.entries(all).map(([flag, value]) => `--${flag}=${value}`);
}
