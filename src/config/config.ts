import type { LogLevel } from "../base/log.js";
import type { DevicePluginConfig } from "./device-plugin.js";
import type { LlmConfig } from "./llm.js";
import type { SandboxesConfig } from "./sandboxes.js";
import type { SandboxPortConfig } from "./sandboxes-listen.js";

/** Everything the daemon can be told, after file and flags; frozen. Units are in the names. */
export interface Config {
  /** Absolute directory of what outlives a reboot: images, records. */
  readonly root: string;
  /** Absolute directory of what doesn't: sockets, Boxes, network namespaces. */
  readonly state: string;
  /** Absolute path of the CRI socket. */
  readonly socketPath: string;
  readonly driver: "auto" | "krun" | "qemu";
  /** loopback: sandboxes have no network. */
  readonly network: "cni" | "loopback";
  /** By the name that a RuntimeClass has for it; "" and "microvm" are always there. */
  readonly handlers: Readonly<Record<string, HandlerConfig>>;
  readonly log: { readonly level: LogLevel };
  readonly assets: {
    /** Absolute directory of launcher, virtiofsd, libkrun, guest kernel and guest base. */
    readonly dir: string;
  };
  readonly qemu: {
    /** Absolute path; undefined: `qemu-system-x86_64` of PATH. */
    readonly binary: string | undefined;
  };
  readonly native: {
    /** Absolute path; undefined: `runc` of PATH. */
    readonly runc: string | undefined;
  };
  /** Pods that ask for namespaces of the host under a handler that makes a Box. */
  readonly hostNamespaces: "native" | "refuse";
  readonly sandbox: {
    readonly vcpus: number;
    readonly memoryMib: number;
    /** From the VMM's start to the agent's hello. */
    readonly bootTimeoutMs: number;
    /** A whole RunPodSandbox; kubelet gives up after 240 s (2 × its runtimeRequestTimeout). */
    readonly runTimeoutMs: number;
    /** How long a Box gets to shut down before it is killed. */
    readonly stopTimeoutMs: number;
    /** What runs containers in a Box. */
    readonly containerRuntime: "own" | "crun";
    /** Of the host, below a Box's volumes with HostToContainer. */
    readonly hostMounts: "at_creation" | "followed";
    /** How Boxes see layers of images. */
    readonly imageLayers: "erofs" | "shared";
    /** Of containers that ask for no AppArmor profile. */
    readonly apparmor: "asked" | "always";
    /** Absolute directory of compiled AppArmor profiles, for those that the host's kernel has not; undefined: none. */
    readonly apparmorProfiles: string | undefined;
    /** Of Boxes whose driver can. */
    readonly start: "boot" | "template";
    /** Absolute directory of what Boxes go on from; undefined: below `state`. */
    readonly bootTemplates: string | undefined;
    /** 0: a silent Box is never ended. */
    readonly healthTimeoutMs: number;
    /** Boxes are made ready while the host has more memory than this left beside them. */
    readonly readyLeastFreeMib: number;
  };
  readonly cni: {
    /** Absolute directory of configuration files. */
    readonly confDir: string;
    /** Absolute directories of plugins, the first that has one counts. */
    readonly binDirs: readonly string[];
    /** One call of one plugin. */
    readonly pluginTimeoutMs: number;
    /** All plugins, for one sandbox. */
    readonly timeoutMs: number;
    /** Have plugins drop at start what belongs to none of this daemon's sandboxes. */
    readonly gc: boolean;
  };
  readonly image: {
    /** Registry of names without one. */
    readonly defaultRegistry: string;
    /** Registries ("host" or "host:port") that speak HTTP without TLS. */
    readonly plainHttp: readonly string[];
    /** Directories of hosts.toml directories; the first that has one for a registry counts. */
    readonly hostsDirs: readonly string[];
    /** Credentials by registry ("host" or "host:port"), for pulls that bring none. */
    readonly auth: Readonly<Record<string, RegistryLogin>>;
    /** Absolute path of a docker config.json; undefined: none. */
    readonly dockerConfig: string | undefined;
    /** References of images that can't be removed. */
    readonly pinned: readonly string[];
    /** A pull without a byte of progress for this long fails. */
    readonly stallTimeoutMs: number;
  };
  readonly streaming: StreamingConfig;
  /** Where metrics and health are served; undefined: nowhere. */
  readonly metrics: { readonly host: string; readonly port: number } | undefined;
  readonly cgroup: {
    /** Who makes the groups of Boxes, and what a sandbox's cgroup_parent is: a path, or a slice of systemd's. */
    readonly driver: "cgroupfs" | "systemd";
    /** The daemon is in a container, and Boxes are in no group of that: they live on when it ends. */
    readonly outlivesContainer: boolean;
    /** Of all Boxes together whose pod names no parent; 0: no limit. */
    readonly memoryMib: number;
  };
  /** Whether kubelet is offered this node's KVM for pods, and how. */
  readonly devicePlugin: DevicePluginConfig;
  /** Sandboxes for agents. */
  readonly sandboxes: SandboxesConfig;
  /** Whether CRI is served. */
  readonly cri: { readonly enabled: boolean };
  /** Where the agents' edge listens, and who may call. */
  readonly sandboxPort: SandboxPortConfig;
  /** Models that Boxes reach by the gateway. */
  readonly llm: readonly LlmConfig[];
}

/** What a RuntimeClass' handler gives its pods. */
export interface HandlerConfig {
  /** undefined: the daemon's. native: pods without a Box. */
  readonly driver: "krun" | "qemu" | "native" | undefined;
  /** Of a Box whose pod sets no limit. */
  readonly vcpus: number;
  readonly memoryMib: number;
  /** Pods that want more are refused; undefined: no such limit. */
  readonly maxVcpus: number | undefined;
  readonly maxMemoryMib: number | undefined;
  /** What a pod's annotations may set: sizes, whether it has the runtime API at ports of its own, and its skills. */
  readonly annotations: readonly ("vcpus" | "memory_mib" | "runtime_api" | "skills")[];
  /** Patterns of the names of models' providers that its pods may ask for. */
  readonly llm: readonly string[];
  /** Boxes that are up before a pod asks for them. */
  readonly ready: readonly ReadyBoxes[];
}

/** So many of one size. */
export interface ReadyBoxes {
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly count: number;
}

/** What a registry wants to know; "" for what is not given. */
export interface RegistryLogin {
  readonly username: string;
  readonly password: string;
  /** base64 "user:password". */
  readonly auth: string;
  readonly identityToken: string;
  readonly registryToken: string;
}

/** The server of exec, attach and port-forward. */
export interface StreamingConfig {
  /** IP address to listen on. */
  readonly address: string;
  /** 0: any. */
  readonly port: number;
  readonly idleTimeoutMs: number;
  /** PEM files; undefined: no TLS. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
}
