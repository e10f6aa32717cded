import { RuntimeError } from "../../base/errors.js";
import {
  Protocol,
  type LinuxPodSandboxConfig,
  type PortMapping,
  type RunPodSandboxRequest,
} from "../../gen/runtime/v1/api.js";
import { podSpec, type PodSpec, type PortSpec } from "../../runtime/pod/pod-spec.js";
import { nameOf } from "./names.js";
import { namespaceSpecOf } from "./namespaces.js";
import { resourceSpecOf } from "./resources.js";
import { refuseSelinux } from "./security.js";

const protocols: Readonly<Record<PortSpec["protocol"], Protocol>> = {
  tcp: Protocol.TCP,
  udp: Protocol.UDP,
  sctp: Protocol.SCTP,
};

/**
 * The pod that CRI RunPodSandbox asks for. Throws `invalidArgument` for what a spec can't say; what is in it the engine
 * checks. Of the security context's other members there is nothing to be applied: a pod has no pause container.
 */
export function podSpecOf(request: Pick<RunPodSandboxRequest, "config" | "runtimeHandler">): PodSpec {
  const config = request.config ?? refuse("config", "is missing");
  const { name, namespace, uid, attempt } = config.metadata ?? refuse("config.metadata", "is missing");
  const { hostname, logDirectory, dnsConfig: dns, linux } = config;
  const spec: PodSpec = {
    ...{ name, namespace, uid, attempt },
    labels: config.labels,
    annotations: config.annotations,
    handler: request.runtimeHandler,
    ...{ hostname, logDirectory },
    ...(dns === undefined ? {} : { dns: { servers: dns.servers, searches: dns.searches, options: dns.options } }),
    ports: config.portMappings.map(portSpecOf),
    cgroupParent: linux?.cgroupParent ?? "",
    sysctls: linux?.sysctls ?? {},
    privileged: linux?.securityContext?.privileged === true,
    ...(linux === undefined ? {} : membersOfLinux(linux)),
  };
  return podSpec.parse(spec); // a copy of its own, frozen
}

function membersOfLinux({
  securityContext,
  resources,
  overhead,
}: LinuxPodSandboxConfig): Pick<PodSpec, "namespaces" | "resources" | "overhead"> {
  refuseSelinux(securityContext?.selinuxOptions);
  const namespaces = securityContext?.namespaceOptions;
  const field = "config.linux.security_context.namespace_options";
  return {
    ...(namespaces === undefined ? {} : { namespaces: namespaceSpecOf(namespaces, field) }),
    ...(resources === undefined ? {} : { resources: resourceSpecOf(resources) }),
    ...(overhead === undefined ? {} : { overhead: resourceSpecOf(overhead) }),
  };
}

function portSpecOf({ protocol, containerPort, hostPort, hostIp }: PortMapping): PortSpec {
  return { protocol: protocolOf(protocol), containerPort, hostPort, hostIp };
}

function protocolOf(value: Protocol): PortSpec["protocol"] {
  return nameOf(protocols, value) ?? refuse("config.port_mappings.protocol", `${String(value)} is not a protocol`);
}

function refuse(field: string, why: string, hint?: string): never {
  throw new RuntimeError("invalidArgument", `${field} ${why}`, hint === undefined ? {} : { hint });
}
