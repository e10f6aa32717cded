import { isIP } from "node:net";
import { RuntimeError } from "../../base/errors.js";
import type { Config, HandlerConfig } from "../../config/config.js";
import type { BoxFactory, HostNamespace } from "../../vmm/box.js";
import type { CgroupManager } from "../../vmm/cgroup/plan.js";
import { sliceOf } from "../../vmm/systemd/slice-path.js";
import { boundaryOf } from "../boundary/boundary-of.js";
import { askedOfHost } from "../boundary/host-namespaces.js";
import { checkResources } from "./box-size.js";
import type { CheckedPod } from "./checked-pod.js";
import {
  namespaceModeNames,
  type NamespaceMode,
  type NamespaceSpec,
  type UserNamespaceSpec,
} from "./namespace-spec.js";
import type { DnsSpec, PodSpec, PortSpec } from "./pod-spec.js";
import { idMapOf, userNamespaceOf } from "./user-namespace.js";

const prefix = "config.linux.security_context.namespace_options";
const prefixOfUsers = `${prefix}.userns_options`;

/**
 * Checks a pod's spec member by member, before anything is made; errors name CRI's fields. `boxes` say what their drivers
 * can. Throws `invalidArgument`.
 */
export function checkPodSpec(
  spec: PodSpec,
  { handlers, hostNamespaces: policy, cgroup }: Pick<Config, "handlers" | "hostNamespaces" | "cgroup">,
  boxes: Pick<BoxFactory, "driver" | "idMapping">,
): CheckedPod {
  for (const name of ["name", "namespace", "uid"] as const) {
    if (spec[name] === "") refuse(`config.metadata.${name}`, "is empty");
    checkText(`config.metadata.${name}`, spec[name], 253);
  }
  const handler = checkHandler(spec.handler, handlers);
  checkHostname(spec.hostname);
  checkAbsolute("config.log_directory", spec.logDirectory);
  if (spec.dns !== undefined) checkDns(spec.dns);
  for (const port of spec.ports) checkPort(port);
  checkLinux(spec, cgroup.driver);
  const driver = askedOfHost(spec).length > 0 && policy === "native" ? "native" : handler.driver;
  const boundary = boundaryOf(driver);
  const hostNamespaces = boundary.hostNamespaces(spec);
  checkUsersAlone(spec, hostNamespaces);
  boundary.checkSysctls(spec);
  return { spec, driver, boundary, hostNamespaces, ...idMapOf(spec, boxes, driver) };
}

/** Features of Status: user_namespaces_host_network is false; kubelet refuses the others by itself. */
function checkUsersAlone(spec: PodSpec, [shared]: readonly HostNamespace[]): void {
  if (shared === undefined || userNamespaceOf(spec) === undefined) return;
  const hint = "leave out hostUsers: false, or hostNetwork, hostPID and hostIPC";
  refuse(prefixOfUsers, `is POD, and the ${shared} namespace is the host's`, hint);
}

function refuse(field: string, why: string, hint?: string): never {
  throw new RuntimeError("invalidArgument", `${field} ${why}`, hint === undefined ? {} : { hint });
}

/** Of what came from outside, enough to recognise it, on one line. */
function shown(value: string): string {
  return JSON.stringify(value.slice(0, 80));
}

function checkText(field: string, value: string, longest: number): void {
  if (value.length > longest) refuse(field, `is longer than ${String(longest)} characters`);
  if (/[\u0000-\u001f\u007f]/.test(value)) refuse(field, "has control characters in it");
}

function checkAbsolute(field: string, path: string): void {
  if (path === "") return;
  checkText(field, path, 4095);
  if (!path.startsWith("/")) refuse(field, `${shown(path)} is not an absolute path`);
  if (path.split("/").includes("..")) refuse(field, `${shown(path)} has ".." in it`);
}

function checkHandler(name: string, handlers: Config["handlers"]): HandlerConfig {
  const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
  if (handler !== undefined) return handler;
  const known = Object.keys(handlers)
    .map((one) => `"${one}"`)
    .join(", ");
  const hint = `known are ${known}; see the pod's RuntimeClass, and [handlers.NAME] of the node's configuration`;
  return refuse("runtime_handler", `${shown(name)} is unknown`, hint);
}

/** The kernel's limit is 64 bytes (uname(2), __NEW_UTS_LEN). */
function checkHostname(hostname: string): void {
  if (hostname === "") return;
  if (hostname.length > 64) refuse("config.hostname", "is longer than the 64 characters that Linux allows");
  if (!isHostname(hostname)) refuse("config.hostname", `${shown(hostname)} is not a DNS name`);
}

/** RFC 1123: labels of letters, digits and hyphens, joined by dots. */
export function isHostname(name: string): boolean {
  return name.split(".").every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i.test(label));
}

/** One line of resolv.conf each: what could end the line or the word is refused (resolv.conf(5)). */
function checkDns(dns: DnsSpec): void {
  for (const server of dns.servers) {
    if (isIP(server) === 0) refuse("config.dns_config.servers", `${shown(server)} is not an IP address`);
  }
  for (const search of dns.searches) {
    if (!/^[!-~]{1,255}$/.test(search)) refuse("config.dns_config.searches", `${shown(search)} is not a domain`);
  }
  for (const option of dns.options) {
    if (!/^[!-~]{1,255}$/.test(option)) refuse("config.dns_config.options", `${shown(option)} is not an option`);
  }
}

function checkPort(mapping: PortSpec): void {
  for (const [field, port] of [
    ["container_port", mapping.containerPort],
    ["host_port", mapping.hostPort],
  ] as const) {
    if (port < 0 || port > 65_535) refuse(`config.port_mappings.${field}`, `${String(port)} is not a port`);
  }
  if (mapping.hostIp !== "" && isIP(mapping.hostIp) === 0) {
    refuse("config.port_mappings.host_ip", `${shown(mapping.hostIp)} is not an IP address`);
  }
}

function checkLinux(spec: PodSpec, manager: CgroupManager): void {
  checkCgroupParent(spec.cgroupParent, manager);
  for (const [name, value] of Object.entries(spec.sysctls)) checkSysctl(name, value);
  if (spec.namespaces !== undefined) checkNamespaces(spec.namespaces);
  checkResources("config.linux.resources", spec.resources);
  checkResources("config.linux.overhead", spec.overhead);
}

function checkCgroupParent(parent: string, manager: CgroupManager): void {
  checkText("config.linux.cgroup_parent", parent, 4095);
  if (parent.split("/").includes("..")) refuse("config.linux.cgroup_parent", `${shown(parent)} has ".." in it`);
  if (manager === "systemd") sliceOf(parent);
  else if (/\.slice(?:$|\/|:)/.test(parent)) {
    const hint = 'set cgroup.driver = "systemd" here, or cgroupDriver: cgroupfs in the kubelet\'s configuration';
    refuse(
      "config.linux.cgroup_parent",
      `${shown(parent)} is a systemd slice, and the cgroup driver here is cgroupfs`,
      hint,
    );
  }
}

function checkSysctl(name: string, value: string): void {
  const field = `config.linux.sysctls[${shown(name)}]`;
  if (!/^[a-z0-9_-]+(?:[./][a-z0-9_-]+)+$/i.test(name)) refuse(field, "is not a sysctl's name");
  checkText(field, value.replaceAll("\t", " "), 4096);
}

function checkNamespaces({ network, pid, ipc, users }: NamespaceSpec): void {
  checkMode(`${prefix}.network`, network, ["pod", "host"]);
  checkMode(`${prefix}.pid`, pid, ["pod", "container", "host"]);
  checkMode(`${prefix}.ipc`, ipc, ["pod", "host"]);
  if (users !== undefined) checkUserNamespace(prefixOfUsers, users);
}

function checkMode(field: string, mode: NamespaceMode, allowed: readonly NamespaceMode[]): void {
  if (!allowed.includes(mode)) refuse(field, `${namespaceModeNames[mode]} does not exist for a sandbox`);
}

/** Mode "host" is none; "pod" has one mapping each (api.proto, message UserNamespace). */
function checkUserNamespace(field: string, users: UserNamespaceSpec): void {
  if (users.mode === "host") {
    if (users.uids.length + users.gids.length > 0) refuse(field, "has mappings although its mode is NODE");
    return;
  }
  if (users.mode !== "pod") refuse(`${field}.mode`, "is neither POD nor NODE");
  for (const [name, mappings] of [
    ["uids", users.uids],
    ["gids", users.gids],
  ] as const) {
    const [mapping, ...more] = mappings;
    if (mapping === undefined || more.length > 0) refuse(`${field}.${name}`, "must hold exactly one mapping");
    if (mapping.containerId !== 0 || mapping.length === 0) refuse(`${field}.${name}`, "must map container id 0");
    // 0 is the agent's in the guest, and root of the host; the last id means "none"
    const { hostId, length } = mapping;
    if (hostId === 0) refuse(`${field}.${name}`, "maps to root's own id");
    if (hostId + length > 0xffff_ffff) refuse(`${field}.${name}`, "maps to ids that there are not");
  }
}
