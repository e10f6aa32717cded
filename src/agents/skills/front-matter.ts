/**
 * The part of YAML that front matters of skills are written in: one value for each key, as text. The text is hostile: what is
 * done with it takes a time that grows with its length and no faster, as it is done in the daemon's loop.
 */
import { RuntimeError } from "../../base/errors.js";

/** Of a front matter; what is more is none. */
const mostBytes = 16 * 1024;
/** `s`: where the rest of a line always fits, nothing is tried again with one blank less. */
const key = /^([A-Za-z0-9_.-]{1,64})[ \t]*:(?:[ \t]+(.*))?$/s;
const block = /^([|>])(?:[+-]?[1-9]?|[1-9][+-]?)[ \t]*(?:#.*)?$/s;
const fence = /^---[ \t]*$/;
const escapes: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  '"': '"',
  "\\": "\\",
  "/": "/",
  " ": " ",
  "0": "\0",
};

/** Undefined: what stands there is no text (a map, a list). */
export type FrontMatter = ReadonlyMap<string, string | undefined>;

/** Throws `invalidArgument` with what is wrong, and in which line. */
export function frontMatterOf(text: string): FrontMatter {
  const lines = linesOf(text);
  const found = new Map<string, string | undefined>();
  for (let at = 0; at < lines.length;) {
    const line = lines[at] ?? "";
    if (line.trim() === "") {
      at += 1; // and no look at all that follow it
      continue;
    }
    const end = endOfValue(lines, at + 1);
    if (!line.startsWith("#")) {
      const [, name, first = ""] = key.exec(line) ?? [];
      // The fence is the first line.
      if (name === undefined) throw wrong(`line ${String(at + 2)} is no "key: value"`);
      if (found.has(name)) throw wrong(`${name} is there twice`);
      found.set(name, valueOf(first.trim(), lines.slice(at + 1, end), name));
    }
    at = end;
  }
  return found;
}

function linesOf(text: string): string[] {
  const [first = "", ...rest] = text
    .slice(0, mostBytes)
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/);
  if (!fence.test(first)) throw wrong('does not begin with a line "---"');
  const end = rest.findIndex((line) => fence.test(line));
  if (end < 0) throw wrong(`has no second line "---" within ${String(mostBytes)} bytes`);
  return rest.slice(0, end);
}

/** What is indented, and empty lines between, go on with the value before. */
function endOfValue(lines: readonly string[], from: number): number {
  let end = from;
  for (let at = from; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    if (/^[ \t]/.test(line) && line.trim() !== "") end = at + 1;
    else if (line.trim() !== "" && !(/^- /.test(line) || line === "-")) break;
    else if (line.trim() !== "") end = at + 1; // a list may stand as far left as its key
  }
  return end;
}

function valueOf(first: string, more: readonly string[], name: string): string | undefined {
  const style = block.exec(first)?.[1];
  if (style !== undefined) return blockText(more, style === ">");
  if (first === "" && more.every((line) => line.trim() === "")) return "";
  if (first === "" && /^\s*(?:- |-$|[^\s"'#][^:]*:(?:\s|$))/.test(more.find((line) => line.trim() !== "") ?? ""))
    return undefined;
  const whole = [first, ...more.map((line) => line.trim())].filter((line) => line !== "").join(" ");
  if (whole.startsWith('"')) return doubleQuoted(whole, name);
  if (whole.startsWith("'")) return singleQuoted(whole, name);
  if (/^[[{&*!|>%@`]/.test(whole)) return undefined;
  const comment = whole.search(/(?:^|\s)#/);
  return (comment < 0 ? whole : whole.slice(0, comment)).trim();
}

function blockText(lines: readonly string[], folded: boolean): string {
  const [first = ""] = lines.filter((line) => line.trim() !== "");
  const indent = /^[ \t]*/.exec(first)?.[0].length ?? 0;
  const text = lines.map((line) => line.slice(indent));
  return (folded ? text.join("\n").replaceAll(/(?<=\S)\n(?=\S)/g, " ") : text.join("\n")).trim();
}

function doubleQuoted(text: string, name: string): string {
  let value = "";
  for (let at = 1; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === '"') return ended(value, text.slice(at + 1), name);
    if (character !== "\\") {
      value += character;
      continue;
    }
    at += 1;
    const digits = /^(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})/.exec(text.slice(at))?.[0];
    value +=
      digits === undefined ? (escapes[text.charAt(at)] ?? "") : String.fromCharCode(parseInt(digits.slice(1), 16));
    at += (digits?.length ?? 1) - 1;
  }
  throw wrong(`${name} has a quote without its end`);
}

function singleQuoted(text: string, name: string): string {
  const [, value, rest] = /^'((?:[^']|'')*)'(.*)$/s.exec(text) ?? [];
  if (value === undefined) throw wrong(`${name} has a quote without its end`);
  return ended(value.replaceAll("''", "'"), rest ?? "", name);
}

function ended(value: string, rest: string, name: string): string {
  if (/^\s*(?:#.*)?$/.test(rest)) return value;
  throw wrong(`${name} goes on behind its quotes`);
}

function wrong(what: string): RuntimeError {
  return new RuntimeError("invalidArgument", `its front matter ${what}`);
}
