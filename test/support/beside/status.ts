/** ContainerStatus and PodSandboxStatus as fields. */
import { inspect } from "node:util";
import type { Seen } from "./seen.js";

export function statusFields(when: string, status: object): Seen {
  const fields: Record<string, string> = {};
  flatten(when, status, fields);
  return fields;
}

/** Times are compared by whether they are there; their order is in the fields of whoever knows it. */
function flatten(name: string, value: unknown, into: Record<string, string>): void {
  if (value === undefined || value === null) return;
  if (typeof value === "bigint" && /(At|timestamp)$/.test(name)) into[name] = value > 0n ? "a time" : inspect(value);
  else if (typeof value !== "object") into[name] = typeof value === "string" ? value : inspect(value).replace(/n$/, "");
  else if (value instanceof Uint8Array) into[name] = Buffer.from(value).toString();
  else {
    const entries = Object.entries(value);
    if (entries.length === 0) into[name] = Array.isArray(value) ? "[]" : "{}";
    for (const [key, one] of entries) flatten(`${name}.${key}`, one, into);
  }
}
