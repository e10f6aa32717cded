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

/** What a pod's network is made by. */
export type NetworkParts = Pick<Deps, "config" | "egress" | "log" | "native" | "networks" | "sandboxes">;

/** The network of one pod, from its namespace to its last DEL. What it is attached by is in the pod's record. */
export class PodNetwork {
  readonly #pod: Pod;
  readonly #parts: NetworkParts;

  constructor(pod: Pod, parts: NetworkParts) {
    this.#pod = pod;
    this.#parts = parts;
  }

  /**
   * `alreadyExists` when another sandbox in the network has one of the host ports: plugins would let both have it, and one
   * of the two would never be reached. Of two that are made at once the older one gets it.
   */
  claimHostPorts(): void {
    const pod = this.#pod;
    if (pod.record.network === undefined) return; // whoever has the host's network has its ports, or not, by bind(2)
    const before = this.#parts.sandboxes.all();
    for (const other of before.slice(0, before.indexOf(pod))) {
      if (other.record.network === undefined) continue;
      for (const mapping of pod.spec.ports) {
        if (!other.spec.ports.some((taken) => overlap(mapping, taken))) continue;
        const { namespace, name } = other.spec;
        const port = `${String(mapping.hostPort)}/${mapping.protocol}`;
        throw new RuntimeError("alreadyExists", `host port ${port} is taken by pod ${namespace}/${name}`, {
          hint: `sandbox ${shortId(other.id)} has it until it is stopped`,
        });
      }
    }
  }

  /**
   * Its namespace, with a tap where there is a guest to link; nothing for one that has the host's. `owner`: ids of the user
   * namespace that it is to be of, which is the pod's and lives as long.
   */
  async makeNetns({
    tapName,
    owner,
  }: {
    readonly tapName: string | undefined;
    readonly owner: IdMap | null;
  }): Promise<void> {
    const { config, native } = this.#parts;
    const { netnsPath } = this.#pod.record;
    if (netnsPath === "") return;
    await closedDirectory(netnsDirectory(config));
    await native.createNetns(netnsPath, owner);
    if (tapName !== undefined) await native.createTap(netnsPath, tapName);
  }

  /** Success when it is not there. */
  async removeNetns(): Promise<void> {
    const { netnsPath } = this.#pod.record;
    if (netnsPath !== "") await this.#parts.native.removeNetns(netnsPath);
  }

  /** Takes the pod in, up to what a guest has to set up, where there is one. The record always knows what DEL needs. */
  async join(planned: Attachment, tapName: string | undefined, signal: AbortSignal): Promise<LinkState | undefined> {
    const { egress: keeper, log, native, networks, sandboxes } = this.#parts;
    const pod = this.#pod;
    const { egress } = pod.record;
    if (egress !== undefined && tapName === undefined) {
      throw new RuntimeError("failedPrecondition", "a pod without a machine of its own can't be kept to egress rules", {
        hint: 'use a handler with a machine; or sandboxes.egress = "cni"',
      });
    }
    const keep = (network: Attachment): Promise<void> => sandboxes.update(pod, { network });
    const attachment = await networks.attach(this.#place, planned, keep, signal);
    if (tapName === undefined) return undefined;
    const interfaces = otherInterfaces(attachment);
    if (interfaces.length > 0) {
      log.warn({ sandboxId: pod.id, interfaces }, "a Box has one network device: interfaces out of its reach");
    }
    if (egress !== undefined) return await keeper.join(egressPlace(pod, planned), egress, signal);
    return await joinTap(native, pod.record.netnsPath, planned.interfaceName);
  }

  /** Takes it out again, and forgets it once that has succeeded. */
  async leave(signal: AbortSignal): Promise<void> {
    const { egress, networks, sandboxes } = this.#parts;
    const { network } = this.#pod.record;
    await egress.forget(this.#pod.id);
    if (network === undefined) return;
    await networks.detach(this.#place, network, signal);
    await sandboxes.update(this.#pod, { network: undefined });
  }

  /** The same for one that an earlier daemon, now killed, was still taking into its network. */
  async leaveHalfJoined(signal: AbortSignal): Promise<void> {
    if (this.#pod.record.network !== undefined) await this.#parts.networks.endLeftoverPlugins(this.#place, signal);
    await this.leave(signal);
  }

  /** Asks the plugins whether all is still as they have made it. */
  async check(signal: AbortSignal): Promise<void> {
    const { network } = this.#pod.record;
    if (network !== undefined) await this.#parts.networks.check(this.#place, network, signal);
  }

  /**
   * Sysctls of the pod's network, by dotted name: what it asks for, over what its network's plugins have set, over what
   * containerd 2 sets for every pod: low ports and ping for programs that are not root (docs/adr/0056).
   */
  sysctls({ hostNamespaces }: CheckedPod): Record<string, string> {
    const { record, spec } = this.#pod;
    const usual = { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" };
    const asked = Object.entries(spec.sysctls);
    return {
      ...(hostNamespaces.includes("network") ? {} : usual),
      ...(record.network === undefined ? {} : attachmentSysctls(record.network)),
      ...Object.fromEntries(asked.map(([name, value]) => [name.replaceAll("/", "."), value])),
    };
  }

  /** What the guest is to make of its end of a link. */
  guestInterfaces(deviceMac: string, link: LinkState | undefined): GuestInterface[] {
    const { network } = this.#pod.record;
    return link === undefined || network === undefined ? [] : [guestInterface(deviceMac, network.interfaceName, link)];
  }

  get #place(): { readonly containerId: PodId; readonly netnsPath: string } {
    return { containerId: this.#pod.id, netnsPath: this.#pod.record.netnsPath };
  }
}

function overlap(a: PortSpec, b: PortSpec): boolean {
  const anyAddress = (ip: string): boolean => ip === "" || ip === "0.0.0.0" || ip === "::";
  const sameAddress = anyAddress(a.hostIp) || anyAddress(b.hostIp) || a.hostIp === b.hostIp;
  return a.hostPort > 0 && a.hostPort === b.hostPort && a.protocol === b.protocol && sameAddress;
}

/** Where its rules stand. */
export function egressPlace({ id, record }: Pod, { interfaceName }: Attachment): EgressPlace {
  return { id, netnsPath: record.netnsPath, interfaceName };
}

function guestInterface(deviceMac: string, name: string, link: LinkState): GuestInterface {
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
