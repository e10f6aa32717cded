import * as z from "zod";
import type { RegistryLogin } from "./config.js";
import { devicePluginSettings } from "./device-plugin.js";
import { listenAddress } from "./listen-address.js";
import { llmSettings } from "./llm.js";
import { agentSettings } from "./agents.js";
import { templateSettings } from "./sandbox-templates.js";
import { sandboxesSettings } from "./sandboxes.js";
import { sandboxPortSettings } from "./sandboxes-listen.js";
import { absolutePath, dayMs, directory, oneOf, setting, whole, type Setting, yesOrNo } from "./setting.js";

const loginSchema = z
  .strictObject({
    username: z.string().default(""),
    password: z.string().default(""),
    auth: z.string().default(""),
    identity_token: z.string().default(""),
    registry_token: z.string().default(""),
  })
  .transform(({ identity_token: identityToken, registry_token: registryToken, ...login }): RegistryLogin => {
    return { ...login, identityToken, registryToken };
  });

const handlerSchema = z.strictObject({
  driver: z.enum(["krun", "qemu", "native"]).optional(),
  vcpus: z.int().min(1).max(64).optional(),
  memory_mib: z.int().min(128).max(1_048_576).optional(),
  max_vcpus: z.int().min(1).max(64).optional(),
  max_memory_mib: z.int().min(128).max(1_048_576).optional(),
  annotations: z.array(z.enum(["vcpus", "memory_mib", "runtime_api", "skills"])).default([]),
  llm: z.array(z.string().min(1).max(200)).default([]),
  ready: z
    .array(
      z.strictObject({
        vcpus: z.int().min(1).max(64),
        memory_mib: z.int().min(256).max(1_048_576),
        count: z.int().min(1).max(64),
      }),
    )
    .max(8)
    .default([]),
});
/** RuntimeClass: a DNS label (RFC 1123). */
const handlerName = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

function certificateFile(about: string): Setting<string> {
  const schema = z.union([z.literal(""), z.string().regex(absolutePath)]);
  return setting(schema, "", 'an absolute path, or "" for no TLS', about);
}

const registryHost = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/i;
const hostText = 'a registry as "host" or "host:port"';
/** In a reference a first part without a dot or a port is a path: a name completed with it would read back as another. */
const referenceHost = /^(?=.*[.:]|localhost$)/i;

/** Every key, in the order in which `config default` shows them. */
export const settings = {
  root: directory("/var/lib/a3s-box", "What outlives a reboot: images and records."),
  state: directory("/run/a3s-box", "What doesn't: sockets, running Boxes, network namespaces. Keep it short."),
  listen: setting(
    z.union([
      z.literal(""),
      z
        .string()
        .startsWith("unix://")
        .refine((url) => absolutePath.test(url.slice(7))),
    ]),
    "",
    'unix:// and an absolute path ("unix:///run/a3s-box/cri.sock"), or "" for cri.sock in the state directory',
    'Where CRI is served. "" is cri.sock in the state directory.',
  ),
  driver: oneOf(["auto", "krun", "qemu"], "auto", "How a Box is made. auto: krun where KVM runs a guest, else qemu."),
  network: oneOf(
    ["cni", "loopback"],
    "cni",
    "Network of sandboxes. cni: as the CNI configuration says, none without it. loopback: no network at all.",
  ),
  handlers: setting<Readonly<Record<string, z.infer<typeof handlerSchema>>>>(
    z.record(z.string().regex(handlerName), handlerSchema),
    {},
    'tables named [handlers.NAME], a DNS label, each with any of driver ("krun", "qemu", "native": without a Box), vcpus, \
memory_mib (for pods without limits), max_vcpus, max_memory_mib (pods that want more are refused), annotations (of \
"vcpus", "memory_mib", "runtime_api" and "skills", those that pods may set), llm (patterns of names of [[llm]] that pods may ask for) \
and ready (Boxes that are up before a pod asks for one: a list of up to 8 { vcpus, memory_mib (256 at least), count (1 to 64) })',
    'Handlers for RuntimeClasses, beside "" and "microvm". Take this line away when writing such a table.',
  ),
  host_namespaces: oneOf(
    ["refuse", "native"],
    "refuse",
    "Pods that ask for network, PIDs or IPC of the host under a handler that makes a Box. native: they get none.",
  ),
  ...llmSettings,
  ...templateSettings,
  ...agentSettings,
  "log.level": oneOf(["trace", "debug", "info", "warn", "error"], "info", "Least level that is logged."),
  "assets.dir": setting(
    z.union([z.literal(""), z.string().regex(absolutePath)]),
    "",
    'an absolute path, or "" for build/assets of this package',
    'Launcher, libkrun, virtiofsd, guest kernel and guest base. "" is build/assets of this package.',
  ),
  "qemu.binary": setting(
    z.union([z.literal(""), z.string().regex(absolutePath)]),
    "",
    'an absolute path, or "" for qemu-system-x86_64 of PATH',
    'QEMU. "" is qemu-system-x86_64 of PATH.',
  ),
  "native.runc": setting(
    z.union([z.literal(""), z.string().regex(absolutePath)]),
    "",
    'an absolute path, or "" for runc of PATH',
    'What makes containers of pods without a Box. "" is runc of PATH; needed where such pods are allowed.',
  ),
  "sandbox.vcpus": whole(1, 64, 2, "CPUs of a Box whose pod sets no limit."),
  "sandbox.memory_mib": whole(128, 1_048_576, 2048, "Memory of a Box whose pod sets no limit. Touched lazily."),
  "sandbox.boot_timeout_ms": whole(
    100,
    dayMs,
    120_000,
    "From the VMM's start to the agent's first answer. Emulation on a busy machine is slow.",
  ),
  "sandbox.run_timeout_ms": whole(100, dayMs, 220_000, "A whole RunPodSandbox. kubelet waits for 240 s."),
  "sandbox.stop_timeout_ms": whole(0, dayMs, 2000, "How long a Box may shut down before it is killed."),
  "sandbox.container_runtime": oneOf(
    ["own", "crun"],
    "own",
    "What runs containers in a Box: the agent's own runtime, or crun, which is slower by some 0.3 s a container and exec.",
  ),
  "sandbox.host_mounts": oneOf(
    ["at_creation", "followed"],
    "followed",
    "Mounts below a volume with HostToContainer: as they come and go, or as they are at the container's creation.",
  ),
  "sandbox.image_layers": oneOf(
    ["erofs", "shared"],
    "erofs",
    "How a Box sees layers of images: as EROFS files that its guest mounts, where its kernel can, or as the host shares them.",
  ),
  "sandbox.apparmor": oneOf(
    ["asked", "always"],
    "asked",
    "Containers that ask for no AppArmor profile have none, or, as with containerd, RuntimeDefault where the kernel can.",
  ),
  "sandbox.apparmor_profiles": setting(
    z.union([z.literal(""), z.string().regex(absolutePath)]),
    "/etc/a3s-box/apparmor",
    'an absolute path, or "" for none',
    "AppArmor profiles of type Localhost that the host's kernel has not loaded: files of apparmor_parser, by profile name.",
  ),
  "sandbox.start": oneOf(
    ["boot", "template"],
    "boot",
    "How a Box that is emulated comes up: each boots, or goes on from the state of one that has (docs/guide/limits.md).",
  ),
  "sandbox.boot_templates": setting(
    z.union([z.literal(""), z.string().regex(absolutePath)]),
    "",
    'an absolute path, or "" for a directory below state',
    "Where those states are kept, 40 to 70 MiB each, eight at most. Daemons of one machine may share it.",
  ),
  "sandbox.health_timeout_ms": whole(
    0,
    dayMs,
    120_000,
    "A Box whose agent has not answered for that long is ended. 0: never.",
  ),
  "sandbox.ready_least_free_mib": whole(
    0,
    1_048_576,
    1024,
    "Of the host's memory, left beside Boxes of a handler's `ready`: below it none is made, and some go.",
  ),
  "cni.conf_dir": directory(
    "/etc/cni/net.d",
    "CNI configuration; the first valid file counts, read anew for each pod.",
  ),
  "cni.bin_dirs": setting(
    z.array(z.string().regex(absolutePath)).min(1),
    ["/opt/cni/bin", "/usr/lib/cni"],
    "a list of absolute paths",
    "CNI plugins: the cluster's, then the distribution's. The first directory that has one counts.",
  ),
  "cni.plugin_timeout_ms": whole(100, dayMs, 60_000, "One call of one CNI plugin; it is killed after that."),
  "cni.timeout_ms": whole(100, dayMs, 100_000, "All plugins of one network, for one pod."),
  "cni.gc": yesOrNo(
    false,
    "At start, have plugins (CNI 1.1) drop what is none of this daemon's pods. Only where no other runtime uses them.",
  ),
  "image.default_registry": setting(
    z.string().regex(registryHost).regex(referenceHost),
    "docker.io",
    `${hostText}, with a dot or a port, as references need it`,
    "Registry of image names that have none.",
  ),
  "image.plain_http": setting(
    z.array(z.string().regex(registryHost)),
    [],
    `a list, each ${hostText}`,
    "Registries that speak HTTP without TLS.",
  ),
  "image.hosts_dirs": setting(
    z.array(z.string().regex(absolutePath)),
    ["/etc/containerd/certs.d", "/etc/docker/certs.d"],
    "a list of absolute paths",
    "Where to look for HOST/hosts.toml: mirrors, own authorities, client certificates. containerd's files do.",
  ),
  "image.auth": {
    ...setting<Readonly<Record<string, RegistryLogin>>>(
      z.record(z.string().regex(registryHost), loginSchema),
      {},
      `tables named [image.auth."host"] or [image.auth."host:port"] with strings: username and password, or auth (base64 \
of user:password), or identity_token, or registry_token`,
      "Credentials for pulls that bring none. Take this line away when writing such a table.",
    ),
    secret: true,
  },
  "image.docker_config": setting(
    z.union([z.literal(""), z.string().regex(absolutePath)]),
    "",
    'the absolute path of a docker config.json, or ""',
    "Credentials for pulls for which neither the pull nor image.auth has any. Credential helpers work.",
  ),
  "image.pinned": setting(
    z.array(z.string().min(1).max(600)),
    [],
    'a list of image references ("registry.example/tools/debug:1")',
    "Images that stay: RemoveImage refuses them, and kubelet's garbage collection passes them over.",
  ),
  "image.stall_timeout_ms": whole(1000, dayMs, 60_000, "A pull that makes no progress for this long fails."),
  "streaming.address": setting(
    z.union([z.ipv4(), z.ipv6()]),
    "127.0.0.1",
    "an IP address of this machine",
    "Where exec, attach and port-forward are served. kubelet is their only client: loopback, unless with TLS.",
  ),
  "streaming.port": whole(0, 65_535, 0, "0: one that is free."),
  "streaming.idle_timeout_ms": whole(
    1000,
    dayMs,
    14_400_000,
    "A connection on which nothing moves for this long is closed.",
  ),
  "streaming.tls_cert_file": certificateFile("Certificate chain in PEM; with a key, streaming speaks TLS."),
  "streaming.tls_key_file": certificateFile("Its private key in PEM."),
  "metrics.address": setting(
    z.union([z.literal(""), z.string().refine((text) => listenAddress(text) !== undefined)]),
    "",
    'an IP address of this machine and a port ("127.0.0.1:9091", "[::1]:9091"), or "" for none',
    "Where /metrics (Prometheus) and /healthz are served, without TLS or login. Port 0: one that is free.",
  ),
  "cgroup.driver": oneOf(
    ["cgroupfs", "systemd"],
    "cgroupfs",
    "Must be kubelet's cgroupDriver; kubelet asks for it since 1.34. systemd: the right one where that is number 1.",
  ),
  "cgroup.outlive_container": yesOrNo(
    false,
    "For a daemon in a container with the node's PIDs and cgroups: Boxes are in no group of that container, and live on \
when it ends, until another one takes them up. With cgroupfs alone.",
  ),
  "cgroup.memory_mib": whole(
    0,
    1_073_741_824,
    0,
    "What all Boxes of this node that no pod of kubelet's is the parent of may take together, their emulators and file \
servers too. 0: no limit. With cgroupfs alone.",
  ),
  ...devicePluginSettings,
  ...sandboxPortSettings, // before the others, which end with a section of their own
  ...sandboxesSettings,
  "cri.enabled": yesOrNo(
    true,
    "Serve CRI. false: where there is no kubelet, and the agents' edge is all that is wanted.",
  ),
};

export type SettingName = keyof typeof settings;

export const settingNames: readonly SettingName[] = keysOf(settings);

function keysOf<T extends object>(object: T): (keyof T)[] {
  const names: (keyof T)[] = [];
  for (const name in object) names.push(name);
  return names;
}
