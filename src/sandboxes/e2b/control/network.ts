/** Which rules of the network are honoured: those by addresses and names. The rest is refused, never taken and forgotten. */
import * as z from "zod";
import { RuntimeError } from "../../../base/errors.js";
import type { EgressWanted } from "../../../net/egress/policy.js";
import type { SandboxWanted } from "../../core/sandbox.js";

const mostRules = 1000;

const addresses = z.array(z.string().max(300)).max(mostRules).default([]);

export const networkRules = z.object({
  allowOut: addresses,
  denyOut: addresses,
  rules: z.record(z.string().max(300), z.unknown()).default({}),
  egressProxy: z.unknown().optional(),
  allowPublicTraffic: z.boolean().default(false),
  maskRequestHost: z.string().max(300).optional(),
  httpsPorts: z.array(z.int()).max(mostRules).default([]),
  allow_internet_access: z.boolean().optional(),
});
export type NetworkRules = z.infer<typeof networkRules>;

/** What E2B's clients say; `internet` is said beside the rules or among them. Throws `unimplemented` for what can't be honoured. */
export function egressOf(rules: NetworkRules, internet: boolean | undefined): EgressWanted {
  const { denyOut, allowOut } = rules;
  const unmet = [
    Object.keys(rules.rules).length > 0 ? "rules" : [],
    rules.egressProxy === undefined ? [] : "egressProxy",
    // Ports of a sandbox are for who has a token, whatever is asked for: a promise to the others would not be kept.
    rules.allowPublicTraffic ? "allowPublicTraffic" : [],
    rules.maskRequestHost === undefined ? [] : "maskRequestHost",
    rules.httpsPorts.length === 0 ? [] : "httpsPorts",
  ].flat();
  if (unmet.length > 0) throw new RuntimeError("unimplemented", `network.${unmet.join(", network.")}: not built`);
  // As E2B has it: what is allowed is an exception from what is denied, and closes nothing by itself.
  return { allowOut, denyOut, rest: internet === false ? "deny" : "allow" };
}

/** Of a new sandbox. No access to the internet and nothing that is allowed: it is in no network at all. */
export function networkOf(
  rules: NetworkRules | undefined,
  internet: boolean | undefined,
): Pick<SandboxWanted, "network" | "egress"> {
  if (rules === undefined && internet === undefined) return {};
  const given = rules ?? networkRules.parse({});
  const said = internet ?? given.allow_internet_access;
  const egress = egressOf(given, said);
  if (said === false && egress.allowOut.length === 0) return { network: "none" };
  return { network: "pod", egress };
}
