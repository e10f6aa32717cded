import {
  EgressRest,
  SandboxServiceService as service,
  type GetSandboxEgressResponse,
} from "../../gen/sandboxes/v1/sandboxes.js";
import { exitStatus, parseFlags, print, usageError } from "../command.js";
import { table } from "../table.js";
import { findSandbox } from "./find-sandbox.js";
import { edgeOf, egressFlags, egressSaid, endpointFlag } from "./flags.js";

const options = { ...endpointFlag, ...egressFlags, json: { type: "boolean" } } as const;

/** `egress`: what a sandbox may reach, and what it was kept from; with rules: these instead of those that it has. */
export async function egress(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options, allowPositionals: true });
  const [said, more] = positionals;
  if (said === undefined || more !== undefined) throw usageError("egress: which sandbox?");
  using edge = await edgeOf(values);
  const { id: sandboxId } = await findSandbox(edge, said);
  const rules = egressSaid(values);
  if (rules !== undefined) await edge.call(service.setSandboxEgress, { sandboxId, egress: rules });
  const facts = await edge.call(service.getSandboxEgress, { sandboxId });
  print(values.json === true ? `${jsonOf(facts)}\n` : textOf(facts));
  return exitStatus.ok;
}

function jsonOf(facts: GetSandboxEgressResponse): string {
  const plain = (_: string, value: unknown): unknown => (typeof value === "bigint" ? Number(value) : value);
  return JSON.stringify({ ...facts, egress: rulesOf(facts) }, plain, 2);
}

function rulesOf({ egress: rules }: GetSandboxEgressResponse) {
  if (rules === undefined) return undefined;
  const { allowOut, denyOut, rest } = rules;
  return { allowOut, denyOut, rest: rest === EgressRest.ALLOW ? "allow" : "deny" };
}

function textOf(facts: GetSandboxEgressResponse): string {
  const rules = rulesOf(facts);
  const words = (list: readonly string[] = []): string => (list.length === 0 ? "-" : list.join(", "));
  const seen = [
    ...facts.destinations.map(({ address, protocol, port, reason, packets, lastAt }) => ({
      row: [address, port === 0 ? protocol : `${protocol}/${String(port)}`, reason, String(packets)],
      atMs: lastAt?.getTime() ?? 0,
    })),
    ...facts.names.map(({ name, reason, questions, lastAt }) => ({
      row: [name, "name", reason, String(questions)],
      atMs: lastAt?.getTime() ?? 0,
    })),
  ].sort((a, b) => b.atMs - a.atMs);
  const counts = Object.entries(facts.refused).map(([reason, count]) => `${reason} ${String(count)}`);
  return [
    `allowed: ${words(rules?.allowOut)}\ndenied:  ${words(rules?.denyOut)}\nrest:    ${rules?.rest ?? "-"}\n`,
    `refused: ${words(counts)}\n`,
    seen.length === 0 ? "" : table([["WHAT", "BY", "REASON", "TIMES"], ...seen.map(({ row }) => row)]),
  ].join("");
}
