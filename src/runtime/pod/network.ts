import { closedDirectory } from "../../base/closed-directory.js";
import { RuntimeError } from "../../base/errors.js";
import { shortId, type PodId } from "../../base/ids.js";
import type { Interface as GuestInterface } from "../../gen/agent/v1/agent.js";
import type { Config } from "../../config/config.js";
import { netnsDirectory } from "../../config/paths.js";
import type { IdMap, LinkState } from "../../native/addon.js";
import { attachmentSysctls, otherInterfaces, type Attachment } from "../../net/attachment.js";
import type { EgressPlace } from "../../net/egress/keeper.js";
import { joinTap } from "../../net/guest-link.js";
import type { Deps } from "../deps.js";
import { bandwidthOf } from "./bandwidth.js";
import type { CheckedPod } from "./checked-pod.js";
import type { PodSpec, PortSpec } from "./pod-spec.js";
import type { Pod } from "./pod.js";

/** What CNI is told of a pod: CNI_ARGS as every runtime names them, and the capabilities that CRI has fields for. */
export async function planNetwork(id: PodId, request: CheckedPod, deps: Deps): Promise<Attachment | undefined> {
  if (!hasNetwork(request, deps.config)) return undefined;
  const { spec } = request;
  const { namespace, name, uid } = spec;
  const args = {
    IgnoreUnknown: "1",
    K8S_POD_NAMESPACE: namespace,
    K8S_POD_NAME: name,
    K8S_POD_INFRA_CONTAINER_ID: id,
    K8S_POD_UID: uid,
  };
  for (const [field, value] of Object.entries(args)) {
    if (/[;=]/.test(value)) throw new RuntimeError("invalidArgument", `CNI can't be told ${field} "${value}"`);
  }
  return await deps.networks.plan({ args, capabilities: capabilitiesOf(spec) });
}

/** One of its own, that CNI makes. */
export function hasNetwork({ spec, hostNamespaces }: CheckedPod, { network }: Pick<Config, "network">): boolean {
  return network !== "loopback" && !hostNamespaces.includes("network") && spec.network !== "none";
}

function capabilitiesOf(spec: PodSpec): Record<string, unknown> {
  const portMappings = spec.ports.filter(({ hostPort }) => hostPort > 0).map(portMapping);
  const bandwidth = bandwidthOf(spec.annotations);
  const { dns, cgroupParent: cgroupPath } = spec;
  return {
    aliases: [spec.name],
    "io.kubernetes.cri.pod-annotations": spec.annotations,
    ...(portMappings.length === 0 ? {} : { portMappings }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
    ...(cgroupPath === "" ? {} : { cgroupPath }),
    ...(dns === undefined ? {} : { dns: { servers: dns.servers, searches: dns.searches, options: dns.options } }),
  };
}

function portMapping({ hostPort, containerPort, protocol, hostIp: hostIP }: PortSpec) {
  return { hostPort, containerPort, protocol, ...(hostIP === "" ? {} : { hostIP }) };
}

/**
 * `alreadyExists` when another sandbox in the network has one of the host ports: plugins would let both have it, and one
 * of the two would never be reached. Of two that are made at once the older one gets it.
 */
export function claimHostPorts(sandbox: Pod, deps: Deps): void {
  if (sandbox.record.network === undefined) return; // whoever has the host's network has its ports, or not, by bind(2)
  const before = deps.sandboxes.all();
  for (const other of before.slice(0, before.indexOf(sandbox))) {
    if (other.record.network === undefined) continue;
    for (const mapping of sandbox.spec.ports) {
      if (!other.spec.ports.some((taken) => overlap(mapping, taken))) continue;
      const { namespace, name } = other.spec;
      const port = `${String(mapping.hostPort)}/${mapping.protocol}`;
      throw new RuntimeError("alreadyExists", `host port ${port} is taken by pod ${namespace}/${name}`, {
        hint: `sandbox ${shortId(other.id)} has it until it is stopped`,
      });
    }
  }
}

function overlap(a: PortSpec, b: PortSpec): boolean {
  const anyAddress = (ip: string): boolean => ip === "" || ip === "0.0.0.0" || ip === "::";
  const sameAddress = anyAddress(a.hostIp) || anyAddress(b.hostIp) || a.hostIp === b.hostIp;
  return a.hostPort > 0 && a.hostPort === b.hostPort && a.protocol === b.protocol && sameAddress;
}

/**
 * The sandbox's network namespace, with a tap where there is a guest to link; nothing for one that has the host's. `owner`:
 * ids of the user namespace that it is to be of, which is the pod's and lives as long.
 */
export async function makeNetns(
  { record }: Pod,
  { tapName, owner }: { readonly tapName: string | undefined; readonly owner: IdMap | null },
  deps: Deps,
): Promise<void> {
  if (record.netnsPath === "") return;
  await closedDirectory(netnsDirectory(deps.config));
  await deps.native.createNetns(record.netnsPath, owner);
  if (tapName !== undefined) await deps.native.createTap(record.netnsPath, tapName);
}

/** Success when it is not there. */
export async function removeNetns({ record }: Pod, deps: Pick<Deps, "native">): Promise<void> {
  if (record.netnsPath !== "") await deps.native.removeNetns(record.netnsPath);
}

/** Takes the sandbox into its network, up to what a guest has to set up, where there is one. The record always knows what DEL needs. */
export async function joinNetwork(
  sandbox: Pod,
  planned: Attachment,
  tapName: string | undefined,
  deps: Deps,
  signal: AbortSignal,
): Promise<LinkState | undefined> {
  const { networks, native, sandboxes } = deps;
  const place = placeOf(sandbox);
  const { egress } = sandbox.record;
  if (egress !== undefined && tapName === undefined) {
    throw new RuntimeError("failedPrecondition", "a pod without a machine of its own can't be kept to egress rules", {
      hint: 'use a handler with a machine; or sandboxes.egress = "cni"',
    });
  }
  const keep = (network: Attachment): Promise<void> => sandboxes.update(sandbox, { network });
  const attachment = await networks.attach(place, planned, keep, signal);
  if (tapName === undefined) return undefined;
  const interfaces = otherInterfaces(attachment);
  if (interfaces.length > 0) {
    deps.log.warn({ sandboxId: sandbox.id, interfaces }, "a Box has one network device: interfaces out of its reach");
  }
  if (egress !== undefined) return await deps.egress.join(egressPlace(sandbox, planned), egress, signal);
  return await joinTap(native, place.netnsPath, planned.interfaceName);
}

/** Where its rules stand. */
export function egressPlace({ id, record }: Pod, { interfaceName }: Attachment): EgressPlace {
  return { id, netnsPath: record.netnsPath, interfaceName };
}

/** Takes it out again, and forgets it once that has succeeded. */
export async function leaveNetwork(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<void> {
  const { network } = sandbox.record;
  await deps.egress.forget(sandbox.id);
  if (network === undefined) return;
  await deps.networks.detach(placeOf(sandbox), network, signal);
  await deps.sandboxes.update(sandbox, { network: undefined });
}

/** The same for one that an earlier daemon, now killed, was still taking into its network. */
export async function leaveHalfJoined(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<void> {
  if (sandbox.record.network !== undefined) await deps.networks.endLeftoverPlugins(placeOf(sandbox), signal);
  await leaveNetwork(sandbox, deps, signal);
}

/** Asks the plugins whether all is still as they have made it. */
export async function checkNetwork(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<void> {
  const { network } = sandbox.record;
  if (network !== undefined) await deps.networks.check(placeOf(sandbox), network, signal);
}

function placeOf({ id, record }: Pod) {
  return { containerId: id, netnsPath: record.netnsPath };
}

/**
 * Sysctls of the pod's network, by dotted name: what it asks for, over what its network's plugins have set, over what
 * containerd 2 sets for every pod: low ports and ping for programs that are not root (docs/adr/0056).
 */
export function networkSysctls({ record, spec }: Pod, { hostNamespaces }: CheckedPod): Record<string, string> {
  const usual = { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" };
  const asked = Object.entries(spec.sysctls);
  return {
    ...(hostNamespaces.includes("network") ? {} : usual),
    ...(record.network === undefined ? {} : attachmentSysctls(record.network)),
    ...Object.fromEntries(asked.map(([name, value]) => [name.replaceAll("/", "."), value])),
  };
}

/** The guest's end of a link. */
export function guestInterface(deviceMac: string, name: string, link: LinkState): GuestInterface {
  return {
    name,
    mac: link.mac,
    deviceMac,
    mtu: link.mtu,
    promiscuous: link.promiscuous,
    allMulticast: link.allMulticast,
    transmitQueue: link.transmitQueue,
    addresses: [...link.addresses],
    routes: link.routes.map((route) => ({ ...route, gateway: route.gateway ?? "", source: route.source ?? "" })),
    neighbours: [...link.neighbours],
  };
}
