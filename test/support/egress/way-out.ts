import type { NodeNetwork } from "../node-network.js";

export interface PodRanges {
  readonly subnet: string;
  readonly subnet6: string;
}

/** The node's own addresses on its way out: in the same networks as what is near. */
export const wan = { 4: "203.0.113.254", 6: "2001:db8:1::fe" } as const;
const near = { 4: "203.0.113.1", 6: "2001:db8:1::1" } as const;

/**
 * Pods on the distribution's bridge, and a node whose way out leads to the namespace `internet`, which has all of `outside`: what is
 * of the networks between them is near, all else is routed there.
 */
export async function leadOut(
  node: NodeNetwork,
  internet: string,
  pods: PodRanges,
  outside: readonly string[],
): Promise<void> {
  const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipMasq: true, hairpinMode: true };
  await node.configure([{ ...bridge, ipam: node.ipam(pods.subnet, pods.subnet6) }]);
  const there = `nsenter --net=${internet}`;
  const isSix = (address: string): boolean => address.includes(":");
  const isNear = (address: string): boolean => /^(?:203\.0\.113\.|2001:db8:1:)/.test(address);
  const has = (address: string): string => {
    const nodad = isSix(address) ? "nodad" : "";
    if (!isNear(address)) return `${there} ip address add ${address}/${isSix(address) ? "128" : "32"} dev lo ${nodad}`;
    return `${there} ip address add ${address}/${isSix(address) ? "64" : "24"} dev up0 ${nodad}`;
  };
  const lines = [
    `ip link add wan type veth peer name up0 netns ${internet}`,
    `ip address add ${wan[4]}/24 dev wan`,
    `ip address add ${wan[6]}/64 dev wan nodad`,
    "ip link set wan up",
    `${there} ip link set lo up`,
    `${there} ip link set up0 up`,
    ...outside.map(has),
    ...outside.filter((one) => !isNear(one)).map((one) => `ip route add ${one} via ${near[isSix(one) ? 6 : 4]}`),
    `${there} ip route add default via ${wan[4]}`,
    `${there} ip -6 route add default via ${wan[6]}`,
  ];
  await node.run("sh", "-ec", lines.join("\n"));
}
