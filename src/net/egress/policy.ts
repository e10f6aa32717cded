/** What a Box may reach, as it is asked for, and as rules. Pure. */
import * as z from "zod";
import { RuntimeError } from "../../base/errors.js";
import { closedRanges, type Closed, type EgressReason } from "./closed.js";
import { nameRule } from "./names.js";
import { addressOf, isSame, isWithin, merged, rangeOf, without, type Family, type Range } from "./ranges.js";

const texts = z.array(z.string()).readonly();

/**
 * Plain and frozen, in a pod's record. An address or a range is allowed, denied, or neither; what is allowed wins. Closed
 * ranges (docs/guide/egress.md) are opened only by a rule that lies within one: "0.0.0.0/0" opens none of them.
 */
export const egressSpec = z
  .object({
    /** Addresses and ranges ("192.0.2.0/24"). */
    allow: texts,
    /** "example.org", "*.example.org": what they resolve to is allowed. Only where the rest is denied. */
    names: texts,
    /** Addresses and ranges. */
    deny: texts,
    /** What becomes of what no rule names. */
    rest: z.enum(["allow", "deny"]),
    /** Whom the Box may ask for names directly, where the rest is allowed; and whom the resolver asks for it. */
    nameServers: texts,
    /** Whether its rules open addresses of the machine and on the Box's own link (`node`). Absent: of an earlier daemon. */
    opensNode: z.boolean().default(true),
  })
  .readonly();
export type EgressSpec = z.infer<typeof egressSpec>;

/** What is asked for by a client: names and addresses in one list. */
export interface EgressWanted {
  readonly allowOut: readonly string[];
  readonly denyOut: readonly string[];
  /** Absent: denied where anything is allowed, else allowed. */
  readonly rest?: "allow" | "deny";
}

export const mostEgressRules = 1000;
const everything = ["0.0.0.0/0", "::/0"].flatMap((text) => rangeOf(text) ?? []);

export interface EgressChecks {
  /** Closed ranges that a rule of a client may open. */
  readonly mayOpen: readonly string[];
  /** Whether they may open what is the node's, and what is beside the Box in its network: other tenants' Boxes, too. */
  readonly mayOpenNode: boolean;
  readonly nameServers: readonly string[];
}

/** Throws `invalidArgument`, and `permissionDenied` for a rule that opens what clients may not. */
export function planEgress(wanted: EgressWanted, { mayOpen, mayOpenNode, nameServers }: EgressChecks): EgressSpec {
  const { allowOut, denyOut } = wanted;
  if (allowOut.length + denyOut.length > mostEgressRules) {
    refuse(`${String(allowOut.length + denyOut.length)} rules are too many`, `at most ${String(mostEgressRules)}`);
  }
  const names = allowOut.filter((one) => rangeOf(one) === undefined).map(ruleOf);
  const allow = allowOut.filter((one) => rangeOf(one) !== undefined);
  for (const one of denyOut) {
    if (rangeOf(one) === undefined) refuse(`deny_out: ${shown(one)} is no address`, "an address or a range of them");
  }
  const closesAll = denyOut.some((one) => everything.some((all) => isSame(all, rangeOf(one) ?? all)));
  const deny = denyOut.filter((one) => !everything.some((all) => isSame(all, rangeOf(one) ?? all)));
  const rest = closesAll ? "deny" : (wanted.rest ?? (allowOut.length > 0 ? "deny" : "allow"));
  if (names.length > 0 && rest === "allow") {
    refuse("a name is allowed where all is", 'deny the rest too ("0.0.0.0/0" in denyOut)');
  }
  const open = mayOpen.flatMap((one) => rangeOf(one) ?? []);
  for (const one of allow) checkOpens(one, open);
  return { allow, names, deny, rest, nameServers, opensNode: mayOpenNode };
}

function ruleOf(text: string): string {
  return (
    nameRule(text) ?? refuse(`allow_out: ${shown(text)} is no address and no name`, '"*" stands before a dot only')
  );
}

/** A rule within a closed range opens it. */
function checkOpens(text: string, open: readonly Range[]): void {
  const range = rangeOf(text);
  if (range === undefined) return;
  const closed = closedRanges([]).find((one) => isWithin(range, one.range));
  if (closed === undefined || open.some((one) => isWithin(range, one))) return;
  throw new RuntimeError("permissionDenied", `allow_out: ${shown(text)} is closed to sandboxes (${closed.reason})`, {
    hint: "sandboxes.may_open of the configuration has what clients may open",
  });
}

/** In the order in which they are asked; the first that has the address decides. */
export interface Egress {
  readonly allow: readonly Range[];
  readonly deny: readonly Range[];
  readonly closed: readonly { readonly reason: EgressReason; readonly ranges: readonly Range[] }[];
  readonly names: readonly string[];
  readonly rest: "allow" | "deny";
}

/** `node`: addresses of the machine and what is beside the Box in its network. */
export function compileEgress(spec: EgressSpec, node: readonly Range[]): Egress {
  const closed = closedRanges(node);
  const ranges = (texts: readonly string[]): Range[] => texts.flatMap((text) => rangeOf(text) ?? []);
  const opens = (range: Range, one: Closed): boolean =>
    isWithin(range, one.range) && (spec.opensNode || one.reason !== "node");
  const allow = ranges(spec.allow).flatMap((range) =>
    without(
      range,
      closed.flatMap((one) => (opens(range, one) ? [] : one.range)),
    ),
  );
  return {
    allow: merged(allow),
    deny: merged(ranges(spec.deny)),
    closed: byReason(closed),
    names: spec.names,
    rest: spec.rest,
  };
}

/** None of a later reason has what is an earlier one's. */
function byReason(closed: readonly Closed[]): Egress["closed"] {
  const found = new Map<EgressReason, Range[]>();
  const before: Range[] = [];
  for (const { reason, range } of closed) {
    found.set(reason, [...(found.get(reason) ?? []), ...without(range, before)]);
    before.push(range);
  }
  return [...found].map(([reason, ranges]) => ({ reason, ranges: merged(ranges) }));
}

/** Whether a packet to that address may leave, by the addresses alone; else why not. */
export function judge(egress: Egress, address: string): "allowed" | EgressReason {
  const at = addressOf(address);
  if (at === undefined) return "not-ip";
  const has = (ranges: readonly Range[]): boolean => ranges.some((range) => holds(range, at.family, at.value));
  if (has(egress.allow)) return "allowed";
  if (has(egress.deny)) return "denied";
  const closed = egress.closed.find(({ ranges }) => has(ranges));
  return closed?.reason ?? (egress.rest === "allow" ? "allowed" : "not-allowed");
}

/** Whether an address that an allowed name has may be used: it must be closed to nobody, and denied by no rule. */
export function mayPin(egress: Egress, address: string): boolean {
  const verdict = judge(egress, address);
  return verdict === "allowed" || verdict === "not-allowed";
}

function holds(range: Range, family: Family, value: bigint): boolean {
  return range.family === family && value >= range.first && value <= range.last;
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 120));
}

function refuse(why: string, allowed: string): never {
  throw new RuntimeError("invalidArgument", why, { hint: `allowed: ${allowed}` });
}
