import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { isNotFound, messageOf, RuntimeError } from "../base/errors.js";
import type { Config, StreamingConfig } from "./config.js";
import { devicePluginOf } from "./device-plugin.js";
import { handlersOf } from "./handlers.js";
import { listenAddress } from "./listen-address.js";
import { llmOf, llmSettings, usualLlmFile, type LlmConfigFile } from "./llm.js";
import { shortNameDigits } from "./paths.js";
import { sandboxesOf } from "./sandboxes.js";
import { sandboxPortOf } from "./sandboxes-listen.js";
import type { Setting } from "./setting.js";
import { settingNames, settings, type SettingName } from "./settings.js";

/** Read where no `--config` is given and it exists. */
const usualConfigFile = "/etc/a3s-box/config.toml";

/** Longest path of a Unix socket, without the closing NUL (unix(7)). */
const longestSocketPath = 107;

/** Flags of `serve` and others that stand over the file. */
export interface ConfigFlags {
  readonly config?: string | undefined;
  readonly root?: string | undefined;
  readonly state?: string | undefined;
  readonly listen?: string | undefined;
  readonly driver?: string | undefined;
  readonly network?: string | undefined;
  /** `metrics.address`. */
  readonly metrics?: string | undefined;
  /** The only one of `sandboxes.listen`. */
  readonly sandboxes?: string | undefined;
  /** `cri.enabled`: "on" or "off". */
  readonly cri?: string | undefined;
  /** `sandboxes.plain`. */
  readonly plain?: boolean | undefined;
  /** `sandboxes.tokens.default`, beside those of the file. */
  readonly token?: { readonly token_file: string } | { readonly token_env: string } | undefined;
}

/** File, then flags over it. `invalidArgument` names the key, the value and what is allowed. */
export async function loadConfig(flags: ConfigFlags): Promise<Config> {
  const file = await readConfigFile(flags.config);
  const values = file === undefined ? new Map<string, Given>() : parseFile(file.text, file.path);
  for (const name of ["root", "state", "listen", "driver", "network"] as const) {
    const value = flags[name];
    if (value !== undefined) values.set(name, { value, from: `--${name}` });
  }
  if (flags.metrics !== undefined) values.set("metrics.address", { value: flags.metrics, from: "--metrics" });
  if (flags.sandboxes !== undefined) values.set("sandboxes.listen", { value: [flags.sandboxes], from: "--sandboxes" });
  if (flags.plain !== undefined) values.set("sandboxes.plain", { value: flags.plain, from: "--plain" });
  if (flags.token !== undefined) {
    const others = values.get("sandboxes.tokens")?.value;
    const tokens = { ...(typeof others === "object" ? others : {}), default: flags.token };
    values.set("sandboxes.tokens", { value: tokens, from: "the environment" });
  }
  if (flags.cri !== undefined) values.set("cri.enabled", { value: onOrOff(flags.cri), from: "--cri" });
  return configOf(values, await readLlmConfig(values));
}

/** What is neither is shown as it is. */
function onOrOff(word: string): boolean | string {
  return word === "on" || word === "off" ? word === "on" : word;
}

/** A value with where it came from, for messages. */
interface Given {
  readonly value: unknown;
  readonly from: string;
}

async function readConfigFile(asked: string | undefined): Promise<{ path: string; text: string } | undefined> {
  const path = asked === undefined ? usualConfigFile : resolve(asked);
  try {
    return { path, text: await readFile(path, "utf8") };
  } catch (thrown) {
    if (asked === undefined && isNotFound(thrown)) return undefined;
    throw new RuntimeError("invalidArgument", messageOf(thrown), {
      stage: "read config",
      hint: "`a3s-box-cri-runtime config default` prints one to begin with",
      cause: thrown,
    });
  }
}

/** The usual one need not be there, also where a file that `config default` has printed names it. */
async function readLlmConfig(values: ReadonlyMap<string, Given>): Promise<LlmConfigFile | undefined> {
  const path = valueOf("llm_config", llmSettings.llm_config, values.get("llm_config"));
  if (path === "") return undefined;
  try {
    return { path, text: await readFile(path, "utf8") };
  } catch (thrown) {
    if (path === usualLlmFile && isNotFound(thrown)) return undefined;
    throw new RuntimeError("invalidArgument", messageOf(thrown), { stage: "read llm_config", cause: thrown });
  }
}

/** The keys of a TOML text, dotted. */
export function parseFile(text: string, from: string): Map<string, Given> {
  try {
    const values = new Map<string, Given>();
    flatten(parse(text), "", from, values);
    return values;
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    throw new RuntimeError("invalidArgument", `${from} is not TOML: ${thrown.message}`, { cause: thrown });
  }
}

function flatten(table: object, prefix: string, from: string, values: Map<string, Given>): void {
  const entries: [string, unknown][] = Object.entries(table);
  for (const [key, value] of entries) {
    const name = prefix + key;
    const isSection = typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
    if (isSection && !isSettingName(name)) flatten(value, `${name}.`, from, values);
    else values.set(name, { value, from });
  }
}

function isSettingName(name: string): name is SettingName {
  return settingNames.some((known) => known === name);
}

/** Checks every value and makes the one frozen object. */
export function configOf(values: ReadonlyMap<string, Given>, llmFile?: LlmConfigFile): Config {
  for (const [name, given] of values) {
    if (isSettingName(name)) continue;
    throw new RuntimeError("invalidArgument", `${name} in ${given.from} is no setting`, {
      hint: `known: ${settingNames.join(", ")}`,
    });
  }
  const read: Read = (name, setting) => valueOf(name, setting, values.get(name));
  const state = read("state", settings.state);
  const listen = read("listen", settings.listen);
  const qemuBinary = read("qemu.binary", settings["qemu.binary"]);
  const assetsDir = read("assets.dir", settings["assets.dir"]);
  const runc = read("native.runc", settings["native.runc"]);
  const sizes = {
    vcpus: read("sandbox.vcpus", settings["sandbox.vcpus"]),
    memoryMib: read("sandbox.memory_mib", settings["sandbox.memory_mib"]),
  };
  const config: Config = {
    root: read("root", settings.root),
    state,
    socketPath: listen === "" ? join(state, "cri.sock") : listen.slice("unix://".length),
    driver: read("driver", settings.driver),
    network: read("network", settings.network),
    handlers: handlersOf(read("handlers", settings.handlers), sizes),
    log: { level: read("log.level", settings["log.level"]) },
    assets: { dir: assetsDir === "" ? join(import.meta.dirname, "../../build/assets") : assetsDir },
    qemu: { binary: qemuBinary === "" ? undefined : qemuBinary },
    native: { runc: runc === "" ? undefined : runc },
    hostNamespaces: read("host_namespaces", settings.host_namespaces),
    sandbox: { ...sizes, ...sandboxOf(read) },
    cni: cniOf(read),
    image: imageOf(read),
    streaming: streamingOf(read),
    metrics: listenAddress(read("metrics.address", settings["metrics.address"])),
    cgroup: {
      driver: read("cgroup.driver", settings["cgroup.driver"]),
      outlivesContainer: read("cgroup.outlive_container", settings["cgroup.outlive_container"]),
      memoryMib: read("cgroup.memory_mib", settings["cgroup.memory_mib"]),
    },
    devicePlugin: devicePluginOf(read),
    sandboxes: sandboxesOf(read),
    cri: { enabled: read("cri.enabled", settings["cri.enabled"]) },
    sandboxPort: sandboxPortOf(read),
    llm: llmOf(read, llmFile),
  };
  checkSocketPaths(config);
  checkOutliving(config);
  return deepFreeze(config);
}

type Read = <T>(name: SettingName, setting: Setting<T>) => T;

function sandboxOf(read: Read): Omit<Config["sandbox"], "vcpus" | "memoryMib"> {
  const bootTemplates = read("sandbox.boot_templates", settings["sandbox.boot_templates"]);
  const apparmorProfiles = read("sandbox.apparmor_profiles", settings["sandbox.apparmor_profiles"]);
  return {
    bootTimeoutMs: read("sandbox.boot_timeout_ms", settings["sandbox.boot_timeout_ms"]),
    runTimeoutMs: read("sandbox.run_timeout_ms", settings["sandbox.run_timeout_ms"]),
    stopTimeoutMs: read("sandbox.stop_timeout_ms", settings["sandbox.stop_timeout_ms"]),
    containerRuntime: read("sandbox.container_runtime", settings["sandbox.container_runtime"]),
    hostMounts: read("sandbox.host_mounts", settings["sandbox.host_mounts"]),
    imageLayers: read("sandbox.image_layers", settings["sandbox.image_layers"]),
    apparmor: read("sandbox.apparmor", settings["sandbox.apparmor"]),
    apparmorProfiles: apparmorProfiles === "" ? undefined : apparmorProfiles,
    start: read("sandbox.start", settings["sandbox.start"]),
    bootTemplates: bootTemplates === "" ? undefined : bootTemplates,
    healthTimeoutMs: read("sandbox.health_timeout_ms", settings["sandbox.health_timeout_ms"]),
    readyLeastFreeMib: read("sandbox.ready_least_free_mib", settings["sandbox.ready_least_free_mib"]),
  };
}

function cniOf(read: Read): Config["cni"] {
  return {
    confDir: read("cni.conf_dir", settings["cni.conf_dir"]),
    binDirs: read("cni.bin_dirs", settings["cni.bin_dirs"]),
    pluginTimeoutMs: read("cni.plugin_timeout_ms", settings["cni.plugin_timeout_ms"]),
    timeoutMs: read("cni.timeout_ms", settings["cni.timeout_ms"]),
    gc: read("cni.gc", settings["cni.gc"]),
  };
}

function imageOf(read: Read): Config["image"] {
  const dockerConfig = read("image.docker_config", settings["image.docker_config"]);
  return {
    defaultRegistry: read("image.default_registry", settings["image.default_registry"]),
    plainHttp: read("image.plain_http", settings["image.plain_http"]),
    hostsDirs: read("image.hosts_dirs", settings["image.hosts_dirs"]),
    auth: read("image.auth", settings["image.auth"]),
    dockerConfig: dockerConfig === "" ? undefined : dockerConfig,
    pinned: read("image.pinned", settings["image.pinned"]),
    stallTimeoutMs: read("image.stall_timeout_ms", settings["image.stall_timeout_ms"]),
  };
}

function streamingOf(read: Read): Config["streaming"] {
  return {
    address: read("streaming.address", settings["streaming.address"]),
    port: read("streaming.port", settings["streaming.port"]),
    idleTimeoutMs: read("streaming.idle_timeout_ms", settings["streaming.idle_timeout_ms"]),
    tls: tlsOf(
      read("streaming.tls_cert_file", settings["streaming.tls_cert_file"]),
      read("streaming.tls_key_file", settings["streaming.tls_key_file"]),
    ),
  };
}

function valueOf<T>(name: SettingName, setting: Setting<T>, given: Given | undefined): T {
  if (given === undefined) return setting.standard;
  const parsed = setting.schema.safeParse(given.value);
  if (parsed.success) return parsed.data;
  const shown = JSON.stringify(given.value, (_key, value: unknown) =>
    typeof value === "bigint" ? Number(value) : value,
  );
  const [issue] = parsed.error.issues;
  const member = [name, ...(issue?.path ?? []).map(String)].join(".");
  const what = setting.secret ? `${member} (${issue?.message ?? "wrong"})` : `${name} = ${shown}`;
  throw new RuntimeError("invalidArgument", `${what} in ${given.from} is not allowed`, {
    hint: `allowed: ${setting.allowed}`,
  });
}

function tlsOf(certFile: string, keyFile: string): StreamingConfig["tls"] {
  if (certFile === "" && keyFile === "") return undefined;
  if (certFile !== "" && keyFile !== "") return { certFile, keyFile };
  throw new RuntimeError("invalidArgument", "one of streaming.tls_cert_file and streaming.tls_key_file is missing", {
    hint: "set both, or none",
  });
}

function checkSocketPaths(config: Config): void {
  const boxSocket = join(config.state, "boxes", "0".repeat(shortNameDigits), "agent.sock");
  const overBytes = Buffer.byteLength(boxSocket) - longestSocketPath;
  if (overBytes > 0) {
    const longest = Buffer.byteLength(config.state) - overBytes;
    throw new RuntimeError("invalidArgument", `state = "${config.state}" is too long for the sockets below it`, {
      hint: `allowed: up to ${String(longest)} bytes`,
    });
  }
  if (Buffer.byteLength(config.socketPath) > longestSocketPath) {
    throw new RuntimeError("invalidArgument", `listen = "unix://${config.socketPath}" is too long for a socket`, {
      hint: `allowed: a path of up to ${String(longestSocketPath)} bytes`,
    });
  }
}

/** What ends sandboxes for want of a daemon would end kubelet's pods; and groups that systemd has made are not the daemon's to leave. */
function checkOutliving({ cgroup, cri, sandboxes }: Config): void {
  if (sandboxes.unservedMs > 0 && cri.enabled) {
    throw new RuntimeError("invalidArgument", "sandboxes.unserved_ms would end pods of CRI too", {
      hint: "cri.enabled = false, or sandboxes.unserved_ms = 0",
    });
  }
  if (cgroup.driver === "systemd" && (cgroup.outlivesContainer || cgroup.memoryMib > 0)) {
    throw new RuntimeError("invalidArgument", "cgroup.outlive_container and cgroup.memory_mib want cgroupfs", {
      hint: 'leave cgroup.driver at "cgroupfs", or these two unset',
    });
  }
}

function deepFreeze<T extends object>(object: T): T {
  const members: unknown[] = Object.values(object);
  for (const member of members) {
    if (typeof member === "object" && member !== null) deepFreeze(member);
  }
  return Object.freeze(object);
}
