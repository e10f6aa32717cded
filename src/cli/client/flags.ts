/** What the commands for people have in common: flags, and how sizes and variables are written. */
import { EgressRest, type Egress } from "../../gen/sandboxes/v1/sandboxes.js";
import { usageError } from "../command.js";
import { Edge } from "./connect.js";
import { findEndpoint } from "./endpoint.js";

export const endpointFlag = { endpoint: { type: "string" } } as const;

/** What a sandbox may reach: `run` and `egress`. */
export const egressFlags = {
  "allow-out": { type: "string", multiple: true },
  "deny-out": { type: "string", multiple: true },
} as const;

/** Undefined where neither is given. Each may have several, with commas. */
export function egressSaid(values: {
  readonly "allow-out"?: readonly string[] | undefined;
  readonly "deny-out"?: readonly string[] | undefined;
}): Egress | undefined {
  const listed = (given: readonly string[] = []): string[] =>
    given.flatMap((one) => one.split(",")).filter((one) => one !== "");
  const [allowOut, denyOut] = [listed(values["allow-out"]), listed(values["deny-out"])];
  if (values["allow-out"] === undefined && values["deny-out"] === undefined) return undefined;
  return { allowOut, denyOut, rest: EgressRest.UNSPECIFIED };
}

/** Of a program: `run` and `exec`. */
export const programFlags = {
  ...endpointFlag,
  interactive: { type: "boolean", short: "i" },
  tty: { type: "boolean", short: "t" },
  env: { type: "string", short: "e", multiple: true },
  user: { type: "string", short: "u" },
  workdir: { type: "string", short: "w" },
  detach: { type: "boolean", short: "d" },
} as const;

export async function edgeOf({ endpoint }: { readonly endpoint?: string | undefined }): Promise<Edge> {
  return await Edge.connect(await findEndpoint(endpoint, process.env));
}

/** `K=V`, or `K` for that of this process. */
export function envOf(given: readonly string[] | undefined): Record<string, string> {
  const env: Record<string, string> = {};
  for (const word of given ?? []) {
    const at = word.indexOf("=");
    const name = at === -1 ? word : word.slice(0, at);
    if (name === "") throw usageError(`"${word}" names no variable`);
    const value = at === -1 ? process.env[name] : word.slice(at + 1);
    if (value !== undefined) env[name] = value;
  }
  return env;
}

/** "512m", "2g", "2048" (MiB). */
export function mebibytes(flag: string, said: string): number {
  const [, digits, unit = "m"] = /^(\d{1,7})([mg])?(?:ib?|b)?$/i.exec(said) ?? [];
  if (digits === undefined) throw usageError(`--${flag} "${said}" is no size: 512m, 2g`);
  return Number(digits) * (unit.toLowerCase() === "g" ? 1024 : 1);
}

/** "90", "90s", "10m", "2h": milliseconds. */
export function durationMs(flag: string, said: string): number {
  const [, digits, unit = "s"] = /^(\d{1,8})([smh])?$/.exec(said) ?? [];
  if (digits === undefined) throw usageError(`--${flag} "${said}" is no duration: 90s, 10m, 2h`);
  return Number(digits) * { s: 1_000, m: 60_000, h: 3_600_000 }[unit as "s" | "m" | "h"];
}

export function wholeNumber(flag: string, said: string, most: number): number {
  const value = Number(said);
  if (!/^\d+$/.test(said) || value < 1 || value > most) {
    throw usageError(`--${flag} "${said}" is no number from 1 to ${String(most)}`);
  }
  return value;
}
