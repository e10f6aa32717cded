/** Static pods as a node's owner writes them, for the kubelet's tests. `directory` is the test's, with `host` in it. */
import { join } from "node:path";
import { busyboxImage } from "../support/images.js";
import { slowness } from "../support/wait.js";

/** What is done again and again has its pauses: a program's start takes a slow machine long. */
const periodSeconds = Math.ceil(slowness);
const pause = `sleep ${(0.2 * slowness).toFixed(1)}`;
/** A loaded machine needs long for a guest's exec; kubelet's own limit is 1 s. */
const patience = { timeoutSeconds: 30 * slowness, periodSeconds, failureThreshold: 2 };
const image = { image: busyboxImage, imagePullPolicy: "Never" };
export const hostPort = 18_080;
const shell = (line: string): string[] => ["sh", "-c", line];
/** Until it succeeds once, liveness is not asked for: a guest on a loaded machine is slow to start a program. */
const patientStart = { periodSeconds, failureThreshold: 120, timeoutSeconds: 30 * slowness };
const probe = (line: string) => ({ exec: { command: shell(line) }, ...patience });
/**
 * Without a share of the CPU a guest does not even boot on a busy machine: kubelet gives BestEffort next to nothing. All
 * pods of the test are to fit a node of two CPUs.
 */
const resources = { requests: { cpu: "200m" } };
const idle = `while :; do ${pause}; done`;

const hostVolume = (directory: string) => ({
  name: "host",
  hostPath: { path: join(directory, "host"), type: "Directory" },
});
const hostMount = { name: "host", mountPath: "/host" };
const sharedMount = { name: "shared", mountPath: "/shared" };

/** Most of what a pod can have. */
export function mainPod(directory: string): Record<string, unknown> {
  const ended = (who: string): string => `trap 'echo ${who} ended >> /host/ends; exit 0' TERM`;
  const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const first = { name: "first", command: shell("echo from init > /shared/init"), volumeMounts: [sharedMount] };
  const sidecar = {
    ...{ name: "sidecar", restartPolicy: "Always", command: shell(`${ended("sidecar")}; touch /shared/up; ${idle}`) },
    startupProbe: { ...probe("test -e /shared/up"), ...patientStart },
    volumeMounts: [sharedMount, hostMount],
  };
  const main = {
    name: "main",
    command: shell(`${ended("main")}; cat /shared/init; echo to stderr >&2; peer serve 9000 main & ${idle}`),
    env: [field("POD_NAME", "metadata.name"), field("POD_IP", "status.podIP")],
    ports: [{ containerPort: 9000, hostPort }],
    resources: { requests: { cpu: "300m", memory: "32Mi" }, limits: { memory: "200Mi" } },
    readinessProbe: probe("test -e /host/ready"),
    lifecycle: {
      postStart: { exec: { command: shell("echo post-start > /shared/post") } },
      preStop: { exec: { command: shell("echo preStop >> /host/ends") } },
    },
    volumeMounts: [
      sharedMount,
      hostMount,
      { name: "memory", mountPath: "/memory" },
      { name: "about", mountPath: "/about" },
    ],
  };
  return {
    terminationGracePeriodSeconds: 60,
    dnsPolicy: "None",
    dnsConfig: { nameservers: ["192.0.2.53"], searches: ["a.test"], options: [{ name: "ndots", value: "5" }] },
    initContainers: [first, sidecar].map((one) => ({ ...one, ...image })),
    containers: [{ ...main, ...image }],
    volumes: [
      ...[{ name: "shared", emptyDir: {} }, { name: "memory", emptyDir: { medium: "Memory" } }, hostVolume(directory)],
      { name: "about", downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } },
    ],
  };
}

/** Containers whose liveness the test breaks by files on the host. */
export function probesPod(directory: string): Record<string, unknown> {
  const willing = `trap 'exit 0' TERM; ${idle}`;
  const ok = { httpGet: { path: "/ok", port: 8080 } };
  const open = { tcpSocket: { port: 9000 } };
  const fails = "[ -e /host/fail-tcp ]";
  // The next one may begin before the test has taken the file away, or before the guest knows of that.
  const serve = `while ${fails}; do ${pause}; done; peer serve 9000 tcp & p=$!; until ${fails}; do ${pause}; done; kill $p`;
  const containers = [
    { name: "exec", command: shell(willing), livenessProbe: probe("test ! -e /host/fail-exec") },
    {
      ...{ name: "http", command: shell("exec httpd -f -p 8080 -h /host/www") },
      startupProbe: { ...ok, ...patientStart },
      livenessProbe: { ...ok, ...patience, failureThreshold: 5 },
    },
    {
      ...{ name: "tcp", command: shell(`${serve}; ${willing}`) },
      startupProbe: { ...open, ...patientStart },
      livenessProbe: { ...open, ...patience, failureThreshold: 5 },
    },
  ];
  return {
    terminationGracePeriodSeconds: 2,
    containers: containers.map((one) => ({ ...one, ...image, resources, volumeMounts: [hostMount] })),
    volumes: [hostVolume(directory)],
  };
}

export function crashPod(): Record<string, unknown> {
  const command = shell("echo a try; echo gone wrong > /dev/termination-log; exit 3");
  return { containers: [{ name: "crash", ...image, resources, command }] };
}

/** A system pod: it has the node's network and processes, and may do whatever root may. */
export function systemPod(): Record<string, unknown> {
  const command = shell(`trap 'exit 0' TERM; echo "on $(hostname)"; ${idle}`);
  return {
    ...{ hostNetwork: true, hostPID: true, terminationGracePeriodSeconds: 2 },
    containers: [{ name: "system", ...image, resources, command, securityContext: { privileged: true } }],
  };
}

/** Files of the node's for `usersPod`, below `host`: one of a user's, and a directory in which everybody may write. */
export const usersDirectory = "users";
const usersOwned = { name: "owned", mountPath: "/owned" };

/**
 * A pod with user ids of its own (hostUsers: false), whose volumes are its group's. Container `users` is root's, and
 * serves; `other` is not, and gives back what is typed. Each of `more` is a volume that both have at `/NAME`.
 */
export function usersPod(directory: string, more: readonly { readonly name: string }[] = []): Record<string, unknown> {
  const downward = { downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } };
  const volumes = [
    { name: "shared", emptyDir: {} },
    { name: "memory", emptyDir: { medium: "Memory" } },
    { name: "about", ...downward },
    ...more,
  ];
  const volumeMounts = [...volumes.map(({ name }) => ({ name, mountPath: `/${name}` })), usersOwned];
  const theirs = { runAsUser: 1000, runAsGroup: 1000 };
  const first = { name: "first", command: shell("id -u > /dev/termination-log; echo first > /shared/first") };
  const serve = "echo as $(id -u); httpd -p 8080 -h /shared; peer serve 9000 users &";
  const users = {
    ...{ name: "users", command: shell(`trap 'exit 0' TERM; ${serve} ${idle}`) },
    startupProbe: { httpGet: { path: "/first", port: 8080 }, ...patientStart },
    readinessProbe: probe("test -O /proc/1 && test -e /shared/first"),
    livenessProbe: { tcpSocket: { port: 9000 }, ...patience, failureThreshold: 5 },
  };
  const other = { name: "other", command: shell("echo as $(id -u); exec cat"), stdin: true, securityContext: theirs };
  return {
    ...{ hostUsers: false, terminationGracePeriodSeconds: 2, securityContext: { fsGroup: 2000 } },
    initContainers: [{ ...first, ...image, volumeMounts, securityContext: theirs }],
    containers: [users, other].map((one) => ({ ...one, ...image, resources, volumeMounts })),
    volumes: [...volumes, { name: usersOwned.name, hostPath: { path: join(directory, "host", usersDirectory) } }],
  };
}

/** No more of it than what it takes to be one. */
export function fewUsersPod(): Record<string, unknown> {
  const command = shell(`trap 'exit 0' TERM; ${idle}`);
  return {
    ...{ hostUsers: false, terminationGracePeriodSeconds: 2 },
    containers: [{ name: "few-users", ...image, resources, command }],
  };
}

/** What a shell in `usersPod` says of its volumes: owner and group of each, seen from inside. */
export const usersVolumes = {
  line: `stat -Lc '%u %g' /shared /memory /shared/first /owned /owned/theirs /about/name /etc/hosts; cat /about/name /owned/theirs`,
  told: (name: string): string => `0 2000\n0 2000\n1000 2000\n0 0\n7 8\n0 2000\n0 0\n${name}theirs\n`,
} as const;
