/** Addresses of both families as numbers, and ranges of them: what rules are made of. Pure. */
import { isIP } from "node:net";
import { RuntimeError } from "../../base/errors.js";

export type Family = 4 | 6;

/** From `first` to `last`, both included. */
export interface Range {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

const bitsOf = { 4: 32, 6: 128 } as const;

/** Undefined for what is no address. An IPv6 address that stands for an IPv4 one is that. */
export function addressOf(text: string): { readonly family: Family; readonly value: bigint } | undefined {
  const kind = isIP(text);
  if (kind === 4) return { family: 4, value: ofFour(text) };
  if (kind !== 6 || text.includes("%")) return undefined;
  const value = ofSix(text);
  return value >> 32n === 0xffffn ? { family: 4, value: value & 0xffff_ffffn } : { family: 6, value };
}

function ofFour(text: string): bigint {
  return text.split(".").reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
}

function ofSix(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted !== null) {
    const [, head = "", tail = ""] = dotted;
    const four = ofFour(tail);
    return ofSix(`${head}${(four >> 16n).toString(16)}:${(four & 0xffffn).toString(16)}`);
  }
  const [before = "", after] = text.split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const [left, right] = [groups(before), groups(after ?? "")];
  const zeros = after === undefined ? 0 : 8 - left.length - right.length;
  const all = [...left, ...Array.from({ length: zeros }, () => "0"), ...right];
  return all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

/** "10.0.0.0/8", or an address alone. Bits behind the prefix are passed over. */
export function rangeOf(text: string): Range | undefined {
  const [, start = "", length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = addressOf(start);
  if (address === undefined) return undefined;
  const { family, value } = address;
  const mapped = family === 4 && start.includes(":");
  const bits = BigInt(bitsOf[family]);
  const prefix = length === undefined ? bits : BigInt(length) - (mapped ? 96n : 0n);
  if (prefix < 0n || prefix > bits) return undefined;
  const free = bits - prefix;
  const first = (value >> free) << free;
  return { family, first, last: first + (1n << free) - 1n };
}

/** Of the project's own tables. */
export function knownRange(text: string): Range {
  const range = rangeOf(text);
  if (range === undefined) throw new RuntimeError("internal", `${text} is no range of addresses`);
  return range;
}

export function isWithin(inner: Range, outer: Range): boolean {
  return inner.family === outer.family && inner.first >= outer.first && inner.last <= outer.last;
}

export function isSame(a: Range, b: Range): boolean {
  return isWithin(a, b) && isWithin(b, a);
}

/** What is left of it without the others. */
export function without(range: Range, others: readonly Range[]): Range[] {
  let left = [range];
  for (const { family, first, last } of others) {
    if (family !== range.family) continue;
    left = left.flatMap((part) => {
      if (last < part.first || first > part.last) return [part];
      const before = first > part.first ? [{ ...part, last: first - 1n }] : [];
      const after = last < part.last ? [{ ...part, first: last + 1n }] : [];
      return [...before, ...after];
    });
  }
  return left;
}

/** In order, none touching another. */
export function merged(ranges: readonly Range[]): Range[] {
  const ordered = [...ranges].sort((a, b) => a.family - b.family || (a.first < b.first ? -1 : 1));
  const out: Range[] = [];
  for (const range of ordered) {
    const before = out.at(-1);
    if (before?.family === range.family && range.first <= before.last + 1n) {
      out[out.length - 1] = { ...before, last: before.last > range.last ? before.last : range.last };
    } else out.push(range);
  }
  return out;
}

export function addressText(family: Family, value: bigint): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join(".");
  const groups = Array.from({ length: 8 }, (_, at) => ((value >> BigInt(112 - 16 * at)) & 0xffffn).toString(16));
  return groups.join(":");
}
