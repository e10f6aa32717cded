/**
 * The rules of one Box, as text for nft(8). They stand in the pod's network namespace, at the two devices that its packets
 * pass (docs/adr/0114): there is no other way from the tap to eth0 than the rule that leads there. Applied in one
 * transaction; counters and pins of what stood before stay. Pure.
 */
import { egressReasons, rangeText, type EgressReason } from "./closed.js";
import type { Egress } from "./policy.js";
import { addressOf, type Family, type Range } from "./ranges.js";

export const table = "netdev a3s-box";
/** One for each family, and only where names are allowed. */
export const dnsTable = "a3s-box-dns";

/** Where questions for names arrive, and whom the rules make of the guest for that: nobody else has these. */
export const dnsEnds = {
  4: { own: "169.254.53.1", guest: "169.254.53.2", prefix: 30 },
  6: { own: "fd53:a3b0:53::1", guest: "fd53:a3b0:53::2", prefix: 126 },
} as const;

/** Of questions for names: DNS, and DNS over TLS. */
export const namePorts = [53, 853] as const;

export interface BoxEnds {
  /** What the plugins have made, and the Box's tap: names of devices. */
  readonly outer: string;
  readonly inner: string;
  readonly mac: string;
  /** Without prefixes. */
  readonly addresses: Readonly<Record<Family, readonly string[]>>;
}

/** Kept per Box, each with its time: what a full set does not take is refused. */
const mostFlows = 16_384;
export const mostPins = 4096;
const mostRecent = 128;
/** A guest that asks without end fills neither the kernel's table of connections nor the daemon's time. */
const questionsPerSecond = 200;

const families: readonly Family[] = [4, 6];
const ipOf = { 4: "ip", 6: "ip6" } as const;
const typeOf = { 4: "ipv4_addr", 6: "ipv6_addr" } as const;

export function rulesetOf(egress: Egress, ends: BoxEnds, nameServers: Readonly<Record<Family, readonly string[]>>) {
  const lines = [
    `add table ${table}`,
    ...egressReasons.map((reason) => `add counter ${table} ${counterOf(reason)}`),
    ...families.flatMap(setsOf),
    ...chainsOf(ends),
    ...families.flatMap((family) => familyRules(family, egress, ends, nameServers[family])),
    ...fromBox(ends),
    ...toBox(ends),
    ...refusals,
    ...families.flatMap((family) => dnsRules(family, egress, ends)),
  ];
  return `${lines.join("\n")}\n`;
}

/** Words of nft(8) are no names. */
export function counterOf(reason: EgressReason): string {
  return `refused-${reason}`;
}

function setsOf(family: Family): string[] {
  const flow = `typeof ${ipOf[family]} daddr . meta l4proto . th dport . th sport`;
  const set = (name: string, type: string, size: number, timeout: string): string =>
    `add set ${table} ${name}${String(family)} { ${type} ; size ${String(size)} ; flags dynamic,timeout ; timeout ${timeout} ; }`;
  return [
    set("began", flow, mostFlows, "3m"), // connections that came from outside
    set("asked", flow, mostFlows, "3m"), // datagrams that were let out
    set("flows", flow, mostFlows, "1h"), // connections to what a name led to
    set("pings", `typeof ${ipOf[family]} daddr . ${family === 4 ? "icmp" : "icmpv6"} id`, 1024, "30s"),
    `add set ${table} pins${String(family)} { type ${typeOf[family]} ; size ${String(mostPins)} ; flags timeout ; }`,
    set("recent", `typeof ${ipOf[family]} daddr . meta l4proto . th dport`, mostRecent, "10m"),
    set("other", `typeof ${ipOf[family]} daddr . meta l4proto`, mostRecent, "10m"),
  ];
}

/** Chains that lead on come before those that lead there. */
function chainsOf({ inner, outer }: BoxEnds): string[] {
  const names = ["go4", "go6", "refuse", "v4", "v6", "from-box", "to-box", "answers"];
  const hooks: Readonly<Record<string, string>> = {
    "from-box": ` { type filter hook ingress device "${inner}" priority 0 ; policy drop ; }`,
    "to-box": ` { type filter hook ingress device "${outer}" priority 0 ; policy drop ; }`,
    answers: ` { type filter hook egress device "${inner}" priority 0 ; policy accept ; }`,
  };
  return [
    ...names.map((name) => `add chain ${table} ${name}${hooks[name] ?? ""}`),
    ...names.map((name) => `flush chain ${table} ${name}`),
  ];
}

function rule(chain: string, text: string): string {
  return `add rule ${table} ${chain} ${text}`;
}

function refuse(reason: EgressReason): string {
  return `counter name "${counterOf(reason)}" goto refuse`;
}

function quiet(reason: EgressReason): string {
  return `counter name "${counterOf(reason)}" drop`;
}

function among(ranges: readonly Range[]): string {
  return `{ ${ranges.map(rangeText).join(", ")} }`;
}

/** What a Box says that is IP, its source known to be its own. */
function familyRules(family: Family, egress: Egress, { outer, addresses }: BoxEnds, nameServers: readonly string[]) {
  const ip = ipOf[family];
  const chain = `v${String(family)}`;
  const go = `go${String(family)}`;
  const at = (name: string): string => `@${name}${String(family)}`;
  const flow = `${ip} daddr . meta l4proto . th dport . th sport`;
  const of = (ranges: readonly Range[]): readonly Range[] => ranges.filter((range) => range.family === family);
  const to = (ranges: readonly Range[], then: string): string[] =>
    of(ranges).length === 0 ? [] : [rule(chain, `${ip} daddr ${among(of(ranges))} ${then}`)];
  const hasNames = egress.names.length > 0;
  const echo = family === 4 ? "icmp type echo-reply" : "icmpv6 type echo-reply";
  const id = family === 4 ? "icmp id" : "icmpv6 id";
  const whole = family === 4 ? "ip frag-off & 0x3fff == 0" : "exthdr frag missing";
  return [
    // Hops of the sender's own choice: what the destination says would not be where it goes.
    rule(chain, `${family === 4 ? "ip hdrlength != 5" : "exthdr rt exists"} ${quiet("spoofed")}`),
    ...(hasNames ? questions(family, addresses[family][0]) : []),
    rule(chain, `${flow} ${at("began")} update ${at("began")} { ${flow} } fwd to "${outer}"`),
    rule(chain, `${echo} ${ip} daddr . ${id} ${at("pings")} fwd to "${outer}"`),
    ...to(egress.allow, `goto ${go}`),
    ...(hasNames
      ? [rule(chain, `meta l4proto { tcp, udp } th dport { ${namePorts.join(", ")} } ${refuse("dns")}`)]
      : []),
    ...to(egress.deny, refuse("denied")),
    ...(egress.rest === "allow" && nameServers.length > 0
      ? [rule(chain, `${ip} daddr { ${nameServers.join(", ")} } meta l4proto { tcp, udp } th dport 53 goto ${go}`)]
      : []),
    ...egress.closed.flatMap(({ reason, ranges }) => to(ranges, refuse(reason))),
    ...(hasNames
      ? [
          // The first packet of a connection needs a pin that is still good; what follows does not.
          rule(
            chain,
            `tcp flags & (syn | ack) != syn ${flow} ${at("flows")} update ${at("flows")} { ${flow} } goto ${go}`,
          ),
          rule(
            chain,
            `meta l4proto udp ${flow} ${at("flows")} update ${at("flows")} { ${flow} timeout 3m } goto ${go}`,
          ),
          rule(
            chain,
            `${whole} ${ip} daddr ${at("pins")} meta l4proto { tcp, udp } update ${at("flows")} { ${flow} } goto ${go}`,
          ),
          rule(
            chain,
            `${whole} ${ip} daddr ${at("pins")} meta l4proto ${family === 4 ? "icmp" : "ipv6-icmp"} goto ${go}`,
          ),
        ]
      : []),
    rule(chain, egress.rest === "allow" ? `goto ${go}` : refuse("not-allowed")),
    rule(go, `meta l4proto udp update ${at("asked")} { ${flow} } fwd to "${outer}"`),
    // A set that is full takes no more; and of a fragment only the first tells its ports.
    rule(go, `meta l4proto udp ${whole} drop`),
    rule(go, `fwd to "${outer}"`),
  ];
}

/** To the resolver, whomever they are for: the guest hears the answer from whom it has asked. */
function questions(family: Family, address: string | undefined): string[] {
  if (address === undefined) return [];
  const ip = ipOf[family];
  const chain = `v${String(family)}`;
  const limit = `limit rate over ${String(questionsPerSecond)}/second burst ${String(questionsPerSecond)} packets`;
  const up = `meta pkttype set host ${ip} saddr set ${dnsEnds[family].guest} accept`;
  return [
    rule(chain, `meta l4proto { tcp, udp } th dport 53 ${limit} ${quiet("dns")}`),
    rule(chain, `${ip} saddr ${address} meta l4proto { tcp, udp } th dport 53 ${up}`),
  ];
}

function fromBox({ mac, addresses, outer }: BoxEnds): string[] {
  const on = (text: string): string => rule("from-box", text);
  const [fours, sixes] = [addresses[4], addresses[6]];
  const local = linkLocal(mac);
  const own6 = [...new Set([local, ...sixes])];
  const go = `fwd to "${outer}"`;
  return [
    on(`ether type != { ip, ip6, arp } ${quiet("not-ip")}`),
    on(`ether saddr != ${mac} ${quiet("spoofed")}`),
    ...(fours.length === 0
      ? []
      : [on(`ether type arp arp saddr ether ${mac} arp saddr ip { ${fours.join(", ")} } ${go}`)]),
    on(`ether type arp ${quiet("spoofed")}`),
    ...(fours.length === 0 ? [] : [on(`ip saddr { ${fours.join(", ")} } goto v4`)]),
    on(`ether type ip ${quiet("spoofed")}`),
    ...(sixes.length === 0
      ? []
      : [
          on(
            `icmpv6 type { nd-neighbor-solicit, nd-router-solicit } ip6 hoplimit 255 ip6 saddr { ::, ${own6.join(", ")} } ${go}`,
          ),
          // The address that it says is its own (RFC 4861, 4.4).
          ...own6.map((own) =>
            on(
              `icmpv6 type nd-neighbor-advert ip6 hoplimit 255 ip6 saddr { ${own6.join(", ")} } @th,64,128 ${hexOf(own)} ${go}`,
            ),
          ),
          on(
            `icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } ip6 hoplimit 1 ip6 saddr { ::, ${own6.join(", ")} } ${go}`,
          ),
          on(`ip6 saddr { ${sixes.join(", ")} } goto v6`),
        ]),
    on(quiet("spoofed")),
  ];
}

/** All that comes is the Box's, as with any pod: who may begin is the network's own business. */
function toBox({ inner, addresses }: BoxEnds): string[] {
  const go = `fwd to "${inner}"`;
  return [
    ...families.flatMap((family) => {
      const own = addresses[family];
      if (own.length === 0) return [];
      const ip = ipOf[family];
      const on = (text: string): string => rule("to-box", `${ip} daddr { ${own.join(", ")} } ${text}`);
      const flow = `${ip} saddr . meta l4proto . th sport . th dport`;
      const set = (name: string): string => `@${name}${String(family)}`;
      const [echo, id] =
        family === 4 ? ["icmp type echo-request", "icmp id"] : ["icmpv6 type echo-request", "icmpv6 id"];
      return [
        on(`meta l4proto udp ${flow} ${set("asked")} update ${set("asked")} { ${flow} } ${go}`),
        on(`meta l4proto udp update ${set("began")} { ${flow} } ${go}`),
        on(`tcp flags & (syn | ack) == syn update ${set("began")} { ${flow} timeout 1h } ${go}`),
        on(`meta l4proto tcp ${flow} ${set("began")} update ${set("began")} { ${flow} timeout 1h } ${go}`),
        on(`${echo} update ${set("pings")} { ${ip} saddr . ${id} } ${go}`),
      ];
    }),
    rule("to-box", go),
  ];
}

/** Says so at once, so that nobody waits; and keeps what was tried, while there is room. */
const refusals = [
  ...families.flatMap((family) => {
    const ip = ipOf[family];
    const n = String(family);
    return [
      rule("refuse", `meta l4proto { tcp, udp } update @recent${n} { ${ip} daddr . meta l4proto . th dport counter }`),
      rule("refuse", `meta l4proto != { tcp, udp } update @other${n} { ${ip} daddr . meta l4proto counter }`),
    ];
  }),
  rule("refuse", "limit rate over 100/second burst 100 packets drop"),
  rule("refuse", "tcp flags & (syn | ack) != syn reject with tcp reset"),
  rule("refuse", "reject with icmpx admin-prohibited"),
];

function dnsRules(family: Family, { names }: Egress, { inner, addresses }: BoxEnds): string[] {
  const whole = `${ipOf[family]} ${dnsTable}`;
  const gone = [`add table ${whole}`, `delete table ${whole}`];
  const [first] = addresses[family];
  if (names.length === 0 || first === undefined) return gone;
  const { own, guest } = dnsEnds[family];
  const ip = ipOf[family];
  const error = family === 4 ? "icmp type destination-unreachable" : "icmpv6 type destination-unreachable";
  return [
    ...gone,
    `add table ${whole}`,
    `add chain ${whole} questions { type nat hook prerouting priority -100 ; }`,
    `add rule ${whole} questions iifname "${inner}" meta l4proto { tcp, udp } th dport 53 dnat to ${own}`,
    // What conntrack makes nothing of is led nowhere: the namespace may have the node's setting to forward.
    `add chain ${whole} forward { type filter hook forward priority 0 ; policy drop ; }`,
    `add chain ${whole} input { type filter hook input priority 0 ; policy accept ; }`,
    `add rule ${whole} input iifname "${inner}" ${ip} daddr != ${own} drop`,
    // While nobody answers, whoever has asked asks again.
    rule("answers", `${ip} daddr ${guest} ${error} drop`),
    rule("answers", `${ip} daddr ${guest} ${ip} daddr set ${first}`),
  ];
}

/** EUI-64 (RFC 4291, appendix A): what the guest's kernel makes of its MAC. */
export function linkLocal(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(":").map((part) => Number.parseInt(part, 16));
  const word = (high: number, low: number): string => ((high << 8) | low).toString(16);
  return `fe80::${word(a ^ 2, b)}:${word(c, 0xff)}:${word(0xfe, d)}:${word(e, f)}`;
}

function hexOf(address: string): string {
  const found = addressOf(address);
  return `0x${(found?.value ?? 0n).toString(16).padStart(32, "0")}`;
}
