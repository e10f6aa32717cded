/** Which rules of the network are honoured: all of the network, or none of it. The rest is refused, never taken and forgotten. */
import * as z from "zod";
import { RuntimeError } from "../../../base/errors.js";

const mostRules = 1000;
const all: readonly string[] = ["0.0.0.0/0", "::/0"];

const addresses = z.array(z.string().max(300)).max(mostRules).default([]);

export const networkRules = z.object({
  allowOut: addresses,
  denyOut: addresses,
  rules: z.record(z.string().max(300), z.unknown()).default({}),
  egressProxy: z.unknown().optional(),
  maskRequestHost: z.string().max(300).optional(),
  httpsPorts: z.array(z.int()).max(mostRules).default([]),
  allow_internet_access: z.boolean().optional(),
});
export type NetworkRules = z.infer<typeof networkRules>;

/** Throws `unimplemented` for what can't be honoured; undefined where nothing is said. */
export function networkOf(rules: NetworkRules, internet: boolean | undefined): "none" | "pod" | undefined {
  const { denyOut, allowOut } = rules;
  const noneAtAll = denyOut.length > 0 && denyOut.every((one) => all.includes(one));
  const unmet = [
    allowOut.length > 0 && !(allowOut.every((one) => all.includes(one)) && denyOut.length === 0) ? "allowOut" : [],
    denyOut.length > 0 && !noneAtAll ? "denyOut" : [],
    Object.keys(rules.rules).length > 0 ? "rules" : [],
    rules.egressProxy === undefined ? [] : "egressProxy",
    rules.maskRequestHost === undefined ? [] : "maskRequestHost",
    rules.httpsPorts.length === 0 ? [] : "httpsPorts",
  ].flat();
  if (unmet.length > 0) {
    throw new RuntimeError("unimplemented", `network.${unmet.join(", network.")}: not built`, {
      hint: `a sandbox has the pod's network or, with allow_internet_access: false, none`,
    });
  }
  if (noneAtAll || internet === false) return "none";
  return internet === true || allowOut.length > 0 ? "pod" : undefined;
}
