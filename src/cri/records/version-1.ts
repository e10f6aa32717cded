/**
 * Records of version 1, in which CRI's messages were: what a daemon before 0.2 has written. Frozen: it reads what is on
 * disk of nodes, and nothing writes that any more (docs/adr/0098).
 */
import * as z from "zod";
import {
  ContainerConfig,
  LinuxContainerResources,
  MountPropagation,
  NamespaceMode,
  PodSandboxConfig,
  Protocol,
  type LinuxContainerSecurityContext,
} from "../../gen/runtime/v1/api.js";
import { containerSpecOf } from "../map/container-spec.js";
import { podSpecOf } from "../map/pod-spec.js";
import { resourceSpecOf } from "../map/resources.js";

/** What has changed since; the engine's schema checks the rest. */
const pod = z.looseObject({
  config: z.base64(),
  runtimeHandler: z.string(),
  box: z.looseObject({ driver: z.string() }).optional(),
});
const container = z.looseObject({ config: z.base64(), resources: z.base64().optional() });

/** A pod's record as of version 2. One that has no Box yet is half made, and discarded whatever it is. */
export function podFromVersion1(raw: object): object {
  const { config: encoded, runtimeHandler, ...rest } = pod.parse(raw);
  const config = PodSandboxConfig.decode(Buffer.from(encoded, "base64"));
  const portMappings = config.portMappings.map((port) => ({
    ...port,
    protocol: known(port.protocol, Protocol, "TCP"),
  }));
  return {
    ...rest,
    version: 2,
    spec: podSpecOf({ config: { ...config, portMappings }, runtimeHandler }),
    boundary: rest.box?.driver === "native" ? "namespaces" : "machine",
  };
}

/** A container's record as of version 2. */
export function containerFromVersion1(raw: object): unknown {
  const { config: encoded, resources, ...rest } = container.parse(raw);
  const config = tamed(ContainerConfig.decode(Buffer.from(encoded, "base64")));
  const updated =
    resources === undefined ? undefined : LinuxContainerResources.decode(Buffer.from(resources, "base64"));
  return {
    ...rest,
    version: 2,
    spec: containerSpecOf(config),
    ...(updated === undefined ? {} : { resources: resourceSpecOf(updated) }),
  };
}

/** Numbers without a name were taken for the usual choice, and their containers run. */
function tamed(config: ContainerConfig): ContainerConfig {
  const mounts = config.mounts.map((mount) => ({
    ...mount,
    propagation: known(mount.propagation, MountPropagation, "PROPAGATION_PRIVATE"),
  }));
  const { linux } = config;
  if (linux?.securityContext === undefined) return { ...config, mounts };
  return { ...config, mounts, linux: { ...linux, securityContext: tamedSecurity(linux.securityContext) } };
}

function tamedSecurity(security: LinuxContainerSecurityContext): LinuxContainerSecurityContext {
  const options = security.namespaceOptions;
  if (options === undefined) return security;
  const mode = (value: NamespaceMode): NamespaceMode => known(value, NamespaceMode, "POD");
  const namespaceOptions = {
    ...options,
    network: mode(options.network),
    pid: mode(options.pid),
    ipc: mode(options.ipc),
  };
  return { ...security, namespaceOptions };
}

function known<Name extends string, Value extends number>(
  value: Value,
  members: Readonly<Record<Name, Value>>,
  usual: Name,
): Value {
  return Object.values(members).includes(value) ? value : members[usual];
}
