/**
 * Skills from ConfigMaps: one each, with `SKILL.md`, and `__` in its keys for what a key can't have, `/`. They are projected into
 * directories of their names.
 */
import { objectAt, textAt, type Json, type JsonObject } from "../kube/json.js";
import type { Skill } from "./spec.js";

const skillFile = "SKILL.md";
/** As the runtime reads it of other sources. */
const mostFrontBytes = 16 * 1024;

/** The ConfigMap's keys in a fixed order. */
export function keysOf(configMap: JsonObject): readonly string[] {
  const names = ["data", "binaryData"].flatMap((member) => Object.keys(objectAt(configMap, member) ?? {}));
  return names.sort();
}

/** What is wrong with keys as files of a skill; undefined for nothing. */
export function mistakeIn(keys: readonly string[]): string | undefined {
  if (!keys.includes(skillFile)) return `has no key ${skillFile}`;
  const paths = keys.map(pathOfKey);
  const bad = keys.find((key) =>
    pathOfKey(key)
      .split("/")
      .some((part) => part === "" || /^\.\.?$/.test(part)),
  );
  if (bad !== undefined) return `has the key ${bad}, which is no path`;
  const inner = paths.find((path) => paths.some((other) => other.startsWith(`${path}/`)));
  return inner === undefined ? undefined : `has ${inner} both as a file and as a directory`;
}

/**
 * What agents will find wrong with its SKILL.md, so that they leave it out; undefined for nothing, and for what is not looked at.
 * The rest of it is as it should be for all that: nothing waits for it.
 */
export function faultIn(configMap: JsonObject, skill: string): string | undefined {
  const text = textAt(configMap, "data", skillFile);
  if (text === undefined) return undefined;
  const [, front] =
    /^\uFEFF?---[ \t]*\r?\n((?:[^\n]*\n)*?)---[ \t]*(?:\r?\n|$)/.exec(text.slice(0, mostFrontBytes)) ?? [];
  if (front === undefined) return 'has no front matter, which begins and ends with a line "---"';
  const lines = front.split(/\r?\n/);
  const valueOf = (key: string): string | undefined => {
    const at = lines.findIndex((line) => line.startsWith(`${key}:`));
    if (at < 0) return undefined;
    const more = lines.slice(at + 1);
    const end = more.findIndex((line) => /^\S/.test(line));
    const whole = [lines[at]?.slice(key.length + 1) ?? "", ...more.slice(0, end < 0 ? more.length : end)];
    const words = whole
      .join(" ")
      .replace(/^[ \t]*[|>][+\-1-9]*/, "")
      .trim();
    return /^["']/.test(words) ? words.slice(1, -1) : words.replace(/\s#.*$/, "").trim();
  };
  for (const key of ["name", "description"]) if ((valueOf(key) ?? "") === "") return `has no ${key}`;
  const name = valueOf("name");
  return name === skill ? undefined : `has the name ${JSON.stringify(name)}, which is not that of its directory`;
}

export function pathOfKey(key: string): string {
  return key.replaceAll("__", "/");
}

/** The volume's sources. A skill whose keys are not known yet has none. */
export function skillSources(skills: readonly Skill[], keys: ReadonlyMap<string, readonly string[]>): readonly Json[] {
  return skills.flatMap(({ name, configMap }) => {
    const items = (keys.get(configMap) ?? []).map((key) => {
      const path = `${name}/${pathOfKey(key)}`;
      return path.includes("/scripts/") ? { key, path, mode: 0o555 } : { key, path };
    });
    return items.length === 0 ? [] : [{ configMap: { name: configMap, items } }];
  });
}
