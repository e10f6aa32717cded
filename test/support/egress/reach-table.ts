/**
 * What is tried in a Box, and what comes of it by the rules that its sandbox has. Each address is there, outside of the Box on this
 * machine, and answers: `opened` is the column that says so, without which a refusal would prove nothing.
 */
import type { EgressReason } from "../../../src/net/egress/closed.js";
import type { Try } from "./bed.js";
import { wan } from "./way-out.js";

export const pods = { gateway: "10.96.8.1", subnet: "10.96.8.0/24", gateway6: "fd96:8::1", subnet6: "fd96:8::/64" };
/** One of the node's, in a network that is closed otherwise, and one that a Box chooses. */
export const nameServers = { node: "10.77.0.53", chosen: "203.0.113.54" } as const;

const metadata = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"];
const metadata6 = ["fd00:ec2::254", "fd20:ce::254", "64:ff9b::a9fe:a9fe"];
const private4 = ["10.77.0.1", "172.16.0.1", "192.168.77.1"];
const closed: readonly (readonly [EgressReason, readonly string[]])[] = [
  ["metadata", [...metadata, ...metadata6]],
  ["private", [...private4, "fd77::1", "64:ff9b::a4d:1"]],
  ["shared", ["100.64.1.1"]],
  ["link-local", ["169.254.7.7"]],
  ["reserved", ["198.18.0.1", "240.0.0.1"]],
];
/** All that is neither the node nor a Box: each answers on the ports 53, 80 and 853. */
export const outside: readonly string[] = [
  ...["203.0.113.1", "203.0.113.2", "203.0.113.3", "2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3"],
  ...closed.flatMap(([, all]) => all),
];

export const records: Readonly<Record<string, readonly string[]>> = {
  "ok.example.org": ["203.0.113.1", "2001:db8:1::1"],
  "rebound.example.org": ["169.254.169.254", "10.77.0.1"],
  "rebound6.example.org": ["fd00:ec2::254"],
  "text.example.org": [],
  "elsewhere.example.net": ["203.0.113.3"],
};

/** What a sandbox is made with; `none` is without a network. */
export const policies = {
  default: {},
  addresses: { egress: { allow_out: ["203.0.113.2", "2001:db8:1::2", "172.16.0.1"], deny_out: [] } },
  deny: { egress: { allow_out: [], deny_out: ["203.0.113.2", "2001:db8:1::2"] } },
  names: { egress: { allow_out: ["*.example.org"], deny_out: [] } },
  none: { network: "none" },
} as const;
export type Policy = keyof typeof policies;

/**
 * "through": it was answered. "empty": names of that type are none, and nobody was asked. "told": the daemon has answered.
 * Else the reason of its refusal.
 */
export type Cell = "through" | "told" | "empty" | EgressReason;

export interface Row {
  readonly what: string;
  readonly tried: Try;
  /** After all questions for names: what they led to is open then. */
  readonly last?: true;
  /** Without `none`, where nothing leads anywhere. */
  readonly cells: Readonly<Record<Exclude<Policy, "none">, Cell>>;
}

const tcp = (to: string, port = 80): Try => ({ do: "tcp", to, port });
const udp = (to: string, port = 80, size = 5): Try => ({ do: "udp", to, port, size });
const ping = (to: string): Try => ({ do: "ping", to });

/** The same by every rule but one that names it. */
const everywhere = (cell: Cell, but: Partial<Row["cells"]> = {}): Row["cells"] => ({
  ...{ default: cell, addresses: cell, deny: cell, names: cell },
  ...but,
});
const public1 = everywhere("through", { addresses: "not-allowed", names: "not-allowed" });
const public2 = everywhere("through", { deny: "denied", names: "not-allowed" });

function row(what: string, tried: Try, cells: Row["cells"]): Row {
  return { what: `${what}: ${JSON.stringify(tried)}`, tried, cells };
}

function closedRows(): Row[] {
  return closed.flatMap(([reason, all]) =>
    all.flatMap((one) => {
      const cells = everywhere(reason, one === "172.16.0.1" ? { addresses: "through" } : {});
      return [tcp(one), udp(one), ping(one)].map((tried) => row(`closed as ${reason}`, tried, cells));
    }),
  );
}

/** The node, the gateway of the plugins, and another Box. */
function nodeRows(node: string, other: readonly string[]): Row[] {
  const all = [node, ...Object.values(wan), pods.gateway, pods.gateway6, ...other];
  return all.flatMap((one) =>
    [tcp(one), udp(one), ping(one)].map((tried) => row("the node's, or beside the Box", tried, everywhere("node"))),
  );
}

function publicRows(): Row[] {
  const both = (first: string, second: string): Row[] => [
    ...[tcp(first), udp(first), ping(first), udp(first, 80, 4000)].map((one) => row("public", one, public1)),
    ...[tcp(second), udp(second), ping(second), udp(second, 80, 4000)].map((one) => row("public", one, public2)),
  ];
  const opened = everywhere("through", { addresses: "not-allowed" });
  const after = (tried: Try, cells: Row["cells"]): Row => ({ ...row("what a name led to", tried, cells), last: true });
  return [
    ...both("203.0.113.3", "203.0.113.2"),
    ...both("2001:db8:1::3", "2001:db8:1::2"),
    ...["203.0.113.1", "2001:db8:1::1"].flatMap((one) => [
      ...[tcp(one), udp(one), ping(one)].map((tried) => after(tried, opened)),
      after(udp(one, 80, 4000), public1), // fragments say no ports
      after(tcp(one, 853), everywhere("through", { addresses: "not-allowed", names: "dns" })),
    ]),
    row("names over TLS", tcp("203.0.113.3", 853), { ...public1, names: "dns" }),
    row("names' port with anything else", udp("203.0.113.3", 53, 900), { ...public1, names: "dns" }),
  ];
}

function nameRows(): Row[] {
  const ask = (server: string, name: string, more: { kind?: number; by?: "udp" | "tcp" } = {}): Try => ({
    ...{ do: "dns", server, name },
    ...more,
  });
  /** Of the node's server each rule but the one for names makes an address, with the port of names open where the rest is. */
  const nodes = (names: Cell): Row["cells"] => everywhere("through", { addresses: "private", names });
  const chosen = (names: Cell): Row["cells"] => everywhere("through", { addresses: "not-allowed", names });
  const servers = [
    ["the node's name server", nameServers.node, nodes],
    ["a name server of the Box's choice", nameServers.chosen, chosen],
  ] as const;
  return servers.flatMap(([whose, server, cells]) =>
    (["udp", "tcp"] as const).flatMap((by) => {
      const secret = `${"s".repeat(50)}.${by}-${server.replaceAll(".", "-")}`;
      return [
        row(whose, ask(server, "ok.example.org", { by }), cells("told")),
        row(whose, ask(server, "ok.example.org", { by, kind: 28 }), cells("told")),
        row(`${whose}: rebinding`, ask(server, "rebound.example.org", { by }), cells("metadata")),
        row(`${whose}: rebinding`, ask(server, "rebound6.example.org", { by, kind: 28 }), cells("metadata")),
        row(`${whose}: another name`, ask(server, "elsewhere.example.net", { by }), cells("name")),
        row(`${whose}: a tunnel by names`, ask(server, `${secret}.evil.example`, { by }), cells("name")),
        row(`${whose}: a tunnel by texts`, ask(server, `t${secret}.evil.example`, { by, kind: 16 }), cells("name")),
        row(`${whose}: texts of an allowed name`, ask(server, "text.example.org", { by, kind: 16 }), cells("empty")),
      ];
    }),
  );
}

export function reachRows(node: string, other: readonly string[]): Row[] {
  return [...publicRows(), ...closedRows(), ...nodeRows(node, other), ...nameRows()];
}

/** What opens each of them, one by one: as the configuration may. */
export function openingAll(node: string): string[] {
  const all = [...outside, ...Object.values(nameServers), node, ...Object.values(wan)];
  return [...all, ...Object.values(pods)];
}
