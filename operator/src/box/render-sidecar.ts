/** The runtime beside an app, in one pod: it serves at localhost:4088, and has the models' keys, which the app has not. */
import type { Json, JsonObject } from "../kube/json.js";
import { skillsDirectory } from "./presets.js";
import { resourcesOf, skillMount, workspacePath } from "./render-parts.js";
import type { BoxSpec } from "./spec.js";

/** What the jails of Boxes are made with (docs/adr/0117). */
const capabilities = [
  ...["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_ADMIN", "SETFCAP", "SETGID", "SETPCAP"],
  ...["SETUID", "SYS_ADMIN", "SYS_CHROOT"],
];
/** Its configuration stands in an annotation of the pod, which the downward API makes a file of. */
const configAnnotation = "a3s.dev/config.toml";
const health =
  "fetch('http://127.0.0.1:4088/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))";

/** The container has neither loop devices nor mke2fs to bound disks by: what sandboxes write is in a volume of the pod. */
export function sidecarAnnotations({ skills }: BoxSpec): JsonObject {
  const mounts = [workspacePath, ...(skills.length === 0 ? [] : [skillsDirectory])];
  const lines = [
    ...["[sandboxes]", 'disk_bound = "none"', `mounts = ${JSON.stringify(mounts)}`],
    ...["[templates.base]", 'image = "docker.io/library/debian:13-slim"'],
  ];
  return { [configAnnotation]: `${lines.join("\n")}\n` };
}

/** A container that starts before the others and stays beside them. */
export function sidecarContainer(spec: BoxSpec, image: string): JsonObject {
  return {
    ...{ name: "a3s-box", image, restartPolicy: "Always" },
    // By the loopback whoever comes is of this pod.
    args: [
      ...["serve", "--cri", "off", "--sandboxes", "tcp://127.0.0.1:4088"],
      ...["--plain", "--network", "loopback"],
    ],
    ...resourcesOf(spec, { "devices.kubevirt.io/kvm": "1" }),
    // Profiles of their own would keep jails from being made: RuntimeDefault has no pivot_root, and AppArmor's forbids mounts.
    securityContext: {
      ...{ runAsUser: 0, runAsNonRoot: false, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
      ...{ seccompProfile: { type: "Unconfined" }, appArmorProfile: { type: "Unconfined" } },
      capabilities: { drop: ["ALL"], add: capabilities },
    },
    startupProbe: {
      exec: { command: ["/opt/a3s-box/node/bin/node", "-e", health] },
      ...{ periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 60 },
    },
    volumeMounts: [
      { name: "a3s-box-config", mountPath: "/etc/a3s-box", readOnly: true },
      { name: "a3s-box-state", mountPath: "/var/lib/a3s-box" },
      { name: "a3s-box-run", mountPath: "/run" },
      { name: "a3s-box-tmp", mountPath: "/tmp" },
      { name: "a3s-box-llm", mountPath: "/etc/a3s", readOnly: true },
      { name: "workspace", mountPath: workspacePath },
      ...(spec.skills.length === 0 ? [] : [skillMount(skillsDirectory)]),
    ],
  };
}

/** The Secret is mounted as a directory: a new key in it is the next call's. */
export function sidecarVolumes({ name, key }: { readonly name: string; readonly key: string }): readonly Json[] {
  const fieldRef = { apiVersion: "v1", fieldPath: `metadata.annotations['${configAnnotation}']` };
  return [
    { name: "a3s-box-config", downwardAPI: { items: [{ path: "config.toml", fieldRef }] } },
    { name: "a3s-box-state", emptyDir: {} },
    { name: "a3s-box-run", emptyDir: { medium: "Memory" } },
    { name: "a3s-box-tmp", emptyDir: {} },
    { name: "a3s-box-llm", secret: { secretName: name, items: [{ key, path: "llm-config.json" }] } },
  ];
}
