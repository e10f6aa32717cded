/** What a sandbox does not reach unless a rule names it: where credentials, neighbours and the node itself are. */
import { addressText, knownRange, type Range } from "./ranges.js";

/** Why a packet or a question was refused. Each has a counter of this name; a reason is never renamed. */
export const egressReasons = [
  ...["metadata", "node", "private", "shared", "link-local", "loopback", "multicast", "reserved"],
  ...["denied", "not-allowed", "dns", "name", "spoofed", "not-ip"],
] as const;
export type EgressReason = (typeof egressReasons)[number];

export interface Closed {
  readonly reason: EgressReason;
  readonly range: Range;
}

const fours: readonly (readonly [EgressReason, string])[] = [
  ["metadata", "169.254.169.254/32"], // most clouds
  ["metadata", "169.254.170.0/24"], // credentials of tasks and pods
  ["metadata", "100.100.100.200/32"],
  ["metadata", "168.63.129.16/32"],
  ["metadata", "192.0.0.192/32"],
  ["private", "10.0.0.0/8"],
  ["private", "172.16.0.0/12"],
  ["private", "192.168.0.0/16"],
  ["shared", "100.64.0.0/10"],
  ["link-local", "169.254.0.0/16"],
  ["loopback", "127.0.0.0/8"],
  ["multicast", "224.0.0.0/4"],
  ["reserved", "0.0.0.0/8"],
  ["reserved", "192.0.0.0/24"],
  ["reserved", "198.18.0.0/15"],
  ["reserved", "240.0.0.0/4"],
];

const sixes: readonly (readonly [EgressReason, string])[] = [
  ["metadata", "fd00:ec2::254/128"],
  ["metadata", "fd20:ce::254/128"],
  ["private", "fc00::/7"],
  ["private", "fec0::/10"],
  ["private", "64:ff9b:1::/48"], // translation of the site's own
  ["link-local", "fe80::/10"],
  ["loopback", "::1/128"],
  ["multicast", "ff00::/8"],
  ["reserved", "::/96"],
  ["reserved", "2001::/32"],
  ["reserved", "2002::/16"],
];

/** An IPv4 address behind a translator (RFC 6052). */
function behindTranslator({ first, last }: Range): Range {
  const translated = knownRange("64:ff9b::/96").first;
  return { family: 6, first: translated + first, last: translated + last };
}

/** As IPv6 has no way to say an IPv4 address on the wire but these, what is closed there is closed here. */
function fixed(): Closed[] {
  return [
    ...fours.flatMap(([reason, text]) => {
      const range = knownRange(text);
      return [
        { reason, range },
        { reason, range: behindTranslator(range) },
      ];
    }),
    ...sixes.map(([reason, text]) => ({ reason, range: knownRange(text) })),
  ];
}

/** The narrowest first, so that the first that fits tells most. `node`: addresses of the machine itself. */
export function closedRanges(node: readonly Range[]): Closed[] {
  const all = [...fixed(), ...node.map((range): Closed => ({ reason: "node", range }))];
  const size = ({ range }: Closed): bigint => range.last - range.first;
  return all.sort((a, b) => (size(a) < size(b) ? -1 : size(a) > size(b) ? 1 : 0));
}

/** "10.0.0.0-10.255.255.255", as nftables has it. */
export function rangeText({ family, first, last }: Range): string {
  const start = addressText(family, first);
  return first === last ? start : `${start}-${addressText(family, last)}`;
}
