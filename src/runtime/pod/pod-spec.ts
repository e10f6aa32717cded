/** What a pod is to be, as plain frozen values; whoever asks for one makes it. Each member names the CRI field behind it. */
import * as z from "zod";
import { egressSpec } from "../../net/egress/policy.js";
import { resourceSpec } from "../container/resource-spec.js";
import { namespaceSpec } from "./namespace-spec.js";

const strings = z.array(z.string()).readonly();
const words = z.record(z.string(), z.string()).readonly();

/** CRI DNSConfig: lines of resolv.conf(5). */
const dnsSpec = z.object({ servers: strings, searches: strings, options: strings }).readonly();
export type DnsSpec = z.infer<typeof dnsSpec>;

/** CRI PortMapping. */
const portSpec = z
  .object({
    protocol: z.enum(["tcp", "udp", "sctp"]),
    containerPort: z.int(),
    /** 0: none of the host's. */
    hostPort: z.int(),
    /** "": every address of the host. */
    hostIp: z.string(),
  })
  .readonly();
export type PortSpec = z.infer<typeof portSpec>;

export const podSpec = z
  .object({
    /** CRI PodSandboxMetadata. Name, namespace, uid and attempt together are the pod's key: one pod has it at a time. */
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    attempt: z.int(),
    /** PodSandboxConfig.labels and .annotations; annotations also set the size of the Box and the network's bandwidth. */
    labels: words,
    annotations: words,
    /** RunPodSandboxRequest.runtime_handler: a name of the configuration's handlers. */
    handler: z.string(),
    /** "": the pod's name, where that is one. */
    hostname: z.string(),
    /** Absolute path of the directory with the containers' logs; "": they have none. */
    logDirectory: z.string(),
    /** Absent: the node's own resolv.conf. */
    dns: dnsSpec.exactOptional(),
    ports: z.array(portSpec).readonly(),
    /** LinuxPodSandboxConfig.cgroup_parent: a path below the cgroup root, or the name of a systemd slice; "": ours. */
    cgroupParent: z.string(),
    /** By name, with dots or slashes. */
    sysctls: words,
    /** LinuxSandboxSecurityContext.privileged: its containers may be. */
    privileged: z.boolean(),
    /** none: a loopback alone, whatever the node's network is. Absent: as the configuration has it. */
    network: z.literal("none").exactOptional(),
    /** What it may reach, kept to by the host (docs/adr/0114). Absent: all that its network lets it. */
    egress: egressSpec.exactOptional(),
    /** Who has made it, where that is not CRI: no client of CRI can say so, and kubelet is not told of it (docs/adr/0104). */
    madeFor: z.literal("agents").exactOptional(),
    /** Absent: the request says nothing, which is all of its own. */
    namespaces: namespaceSpec.exactOptional(),
    /** What all containers may use together. */
    resources: resourceSpec.exactOptional(),
    /** What the RuntimeClass adds for what is beside the containers. */
    overhead: resourceSpec.exactOptional(),
  })
  .readonly();
export type PodSpec = z.infer<typeof podSpec>;
