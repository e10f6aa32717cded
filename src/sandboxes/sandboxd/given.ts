import { RuntimeError } from "../../base/errors.js";

/** A 64-bit field as a number; one that a number can't hold is none of ours. */
export function wholeNumber(field: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RuntimeError("invalidArgument", `${field} is too large: ${String(value)}`);
  }
  return Number(value);
}

/** `undefined` stays out of what is made of it: absent members are absent. */
export function given<K extends string, V>(name: K, value: V | undefined): Partial<Record<K, V>> {
  const member: Partial<Record<K, V>> = {};
  if (value !== undefined) member[name] = value;
  return member;
}
