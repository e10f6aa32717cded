/** What a SKILL.md says of its skill, by the rules of agentskills. */
import { RuntimeError } from "../../base/errors.js";
import { frontMatterOf } from "./front-matter.js";

export const skillFileName = "SKILL.md";
export const mostSkillFileBytes = 1024 * 1024;
const skillName = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const longest = { name: 64, description: 1024, compatibility: 500 };

export interface SkillFile {
  readonly name: string;
  readonly description: string;
}

/** `directory`: what it is in; absent: the skill's own name is what its directory will be called. Throws `invalidArgument`. */
export function readSkillFile(bytes: Uint8Array, directory?: string): SkillFile {
  const front = frontMatterOf(textOf(bytes));
  const name = wordsOf(front, "name");
  if (!skillName.test(name) || name.length > longest.name) {
    throw wrong(`name ${shown(name)} is not up to ${String(longest.name)} of a-z, 0-9 and single "-" between them`);
  }
  if (directory !== undefined && directory !== name)
    throw wrong(`name ${shown(name)} is not that of its directory, ${shown(directory)}`);
  const description = wordsOf(front, "description");
  if (description.length > longest.description)
    throw wrong(`description has ${String(description.length)} of ${String(longest.description)} characters`);
  const compatibility = front.get("compatibility") ?? "";
  if (compatibility.length > longest.compatibility)
    throw wrong(`compatibility has more than ${String(longest.compatibility)} characters`);
  return { name, description };
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new RuntimeError("invalidArgument", `${skillFileName} is not UTF-8`, { cause });
  }
}

function wordsOf(front: ReadonlyMap<string, string | undefined>, key: string): string {
  const value = front.get(key);
  if (value === undefined || value.trim() === "") throw wrong(front.has(key) ? `${key} is no text` : `has no ${key}`);
  return value.trim();
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}

function wrong(what: string): RuntimeError {
  return new RuntimeError("invalidArgument", `its ${skillFileName}: ${what}`);
}
