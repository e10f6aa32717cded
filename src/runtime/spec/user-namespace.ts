/**
 * A container in its pod's user namespace. Source: CRI NamespaceOption.userns_options, Mount.uidMappings and gidMappings.
 */
import { RuntimeError } from "../../base/errors.js";
import type { ContainerSpec } from "../container/container-spec.js";
import type { IdMapping, UserNamespaceSpec } from "../pod/namespace-spec.js";
import type { OciIdMapping } from "./oci.js";
import type { SpecRules } from "./rules.js";

/** Container and mounts must ask for what the pod has: nothing else can be had. `pod`: undefined when it has none. */
export function checkUserNamespace(
  { mounts, security: { namespaces } }: ContainerSpec,
  pod: UserNamespaceSpec | undefined,
  { sharesUsers }: Pick<SpecRules, "sharesUsers">,
): void {
  const asked = namespaces.users;
  const wants = asked !== undefined && asked.mode !== "host" ? asked : undefined;
  if (wants !== undefined && (pod === undefined || wants.mode !== "pod" || !same(wants, pod))) {
    throw new RuntimeError("invalidArgument", "userns_options differ from those of the sandbox", {
      hint: "a user namespace is the whole pod's",
    });
  }
  if (wants === undefined && asked !== undefined && pod !== undefined) {
    throw new RuntimeError("invalidArgument", "userns_options say NODE, and the sandbox has a user namespace");
  }
  if (pod !== undefined && !sharesUsers && namespaces.pid === "target") {
    throw new RuntimeError("unimplemented", "a process namespace can't be joined in a pod with a user namespace", {
      hint: "use shareProcessNamespace, or leave out hostUsers: false",
    });
  }
  for (const [index, { uidMappings, gidMappings }] of mounts.entries()) {
    if (uidMappings.length === 0 && gidMappings.length === 0) continue;
    if (pod !== undefined && equal(uidMappings, pod.uids) && equal(gidMappings, pod.gids)) continue;
    throw new RuntimeError("invalidArgument", `mounts[${index}] has ids mapped otherwise than its pod`, {
      hint: "map them as the pod's user namespace does",
    });
  }
}

function same(one: UserNamespaceSpec, other: UserNamespaceSpec): boolean {
  return equal(one.uids, other.uids) && equal(one.gids, other.gids);
}

function equal(some: readonly IdMapping[], others: readonly IdMapping[]): boolean {
  const told = (all: readonly IdMapping[]): string =>
    JSON.stringify(all.map(({ hostId, containerId, length }) => [hostId, containerId, length]));
  return told(some) === told(others);
}

/** kubelet's ids of the host are a guest's too: they keep pods apart where they share a kernel, which guests don't. */
export function ociMapping({ containerId, hostId, length }: IdMapping): OciIdMapping {
  return { containerID: containerId, hostID: hostId, size: length };
}
