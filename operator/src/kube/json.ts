/** What the API server says, read by hand: it is judged by no type of ours until it has been looked at. */

export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json | undefined;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** What stands at the end of the path; undefined where it breaks off. */
export function at(value: Json | undefined, ...path: readonly string[]): Json | undefined {
  let found = value;
  for (const name of path) {
    if (!isObject(found)) return undefined;
    found = found[name];
  }
  return found;
}

export function objectAt(value: Json | undefined, ...path: readonly string[]): JsonObject | undefined {
  const found = at(value, ...path);
  return isObject(found) ? found : undefined;
}

export function textAt(value: Json | undefined, ...path: readonly string[]): string | undefined {
  const found = at(value, ...path);
  return typeof found === "string" ? found : undefined;
}

export function numberAt(value: Json | undefined, ...path: readonly string[]): number | undefined {
  const found = at(value, ...path);
  return typeof found === "number" ? found : undefined;
}

export function listAt(value: Json | undefined, ...path: readonly string[]): readonly Json[] {
  const found = at(value, ...path);
  return isList(found) ? found : [];
}

export function textsAt(value: Json | undefined, ...path: readonly string[]): readonly string[] {
  return listAt(value, ...path).filter((one): one is string => typeof one === "string");
}

/** Parses; throws SyntaxError for text that is no JSON, or no object. */
export function parseObject(text: string): JsonObject {
  const parsed: unknown = JSON.parse(text);
  if (!isObject(parsed)) throw new SyntaxError("not an object");
  return parsed;
}

/**
 * Whether all that is wanted is there; what else is there is others'. Lists of objects are compared by their elements' names where
 * they have one, as the API server merges them, and by place where they have not.
 */
export function covers(live: Json | undefined, wanted: Json | undefined): boolean {
  if (wanted === undefined) return true;
  if (isObject(wanted)) {
    return isObject(live) && Object.entries(wanted).every(([name, value]) => covers(live[name], value));
  }
  if (!isList(wanted)) return live === wanted;
  if (!isList(live)) return wanted.length === 0 && live === undefined;
  return wanted.every((one, place) => {
    const name = textAt(one, "name");
    const same = name === undefined ? live[place] : live.find((other) => textAt(other, "name") === name);
    return covers(same, one);
  });
}

/** The same text for the same content, whatever the order of its members. */
export function canonical(value: Json | undefined): string {
  if (isList(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value ?? null);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  members.sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(",")}}`;
}
