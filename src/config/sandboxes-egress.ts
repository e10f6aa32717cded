/** What the configuration says of what sandboxes for agents may reach. */
import * as z from "zod";
import { oneOf, setting, type Setting, yesOrNo } from "./setting.js";

export interface EgressConfig {
  /** enforced: each sandbox in the network has egress rules. cni: none has. */
  readonly egress: "enforced" | "cni";
  /** Of sandboxes for which nobody says more: addresses, ranges and names; addresses and ranges. */
  readonly allowOut: readonly string[];
  readonly denyOut: readonly string[];
  /** Closed ranges that rules of clients may open. */
  readonly mayOpen: readonly string[];
  /** Whether they open addresses of the machine, and of what is on a sandbox's own link. */
  readonly mayOpenNode: boolean;
  /** Empty: the node's own. */
  readonly nameServers: readonly string[];
}

export const outRules = z.array(z.string().min(1).max(300)).max(1000);
const ranges = z.array(z.string().regex(/^[0-9a-fA-F.:]+(?:\/\d{1,3})?$/)).max(1000);

export const egressSettings = {
  "sandboxes.egress": oneOf(
    ["enforced", "cni"],
    "enforced",
    "enforced: what sandboxes in the network reach is kept to rules (docs/guide/egress.md). cni: as the network has it.",
  ),
  "sandboxes.allow_out": setting(
    outRules,
    [],
    'a list of addresses, ranges and names ("192.0.2.0/24", "*.example.org")',
    "What sandboxes reach for which nobody says more. Nothing else then.",
  ),
  "sandboxes.deny_out": setting(
    outRules,
    [],
    'a list of addresses and ranges ("0.0.0.0/0": all)',
    "What they do not reach.",
  ),
  "sandboxes.may_open": setting(
    ranges,
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"],
    "a list of ranges; [] for none",
    "Of what is closed to sandboxes: where a client's own rules may open some.",
  ),
  "sandboxes.may_open_node": yesOrNo(
    false,
    "Whether they open addresses of the machine, and on a sandbox's own link, where other tenants' sandboxes are.",
  ),
  "sandboxes.name_servers": setting(
    ranges,
    [],
    "a list of addresses; [] for the node's own",
    "Whom sandboxes ask for names, or who is asked for them.",
  ),
};

type Own = typeof egressSettings;
type Read = <T>(name: keyof Own, setting: Setting<T>) => T;

export function egressOf(read: Read): EgressConfig {
  const own = egressSettings;
  return {
    egress: read("sandboxes.egress", own["sandboxes.egress"]),
    allowOut: read("sandboxes.allow_out", own["sandboxes.allow_out"]),
    denyOut: read("sandboxes.deny_out", own["sandboxes.deny_out"]),
    mayOpen: read("sandboxes.may_open", own["sandboxes.may_open"]),
    mayOpenNode: read("sandboxes.may_open_node", own["sandboxes.may_open_node"]),
    nameServers: read("sandboxes.name_servers", own["sandboxes.name_servers"]),
  };
}
