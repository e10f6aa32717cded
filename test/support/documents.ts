/** What stands in the project's documents: links, headings, blocks of code. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { projectDirectory } from "./project.js";

const notOurs = new Set(["node_modules", ".git", "build", "dist", "target", "gen", "cri-api"]);

/** Paths of all Markdown files of the project, relative to it. */
export async function documents(directory = ""): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(join(projectDirectory, directory), { withFileTypes: true })) {
    const path = directory === "" ? entry.name : `${directory}/${entry.name}`;
    if (entry.isDirectory() && !notOurs.has(entry.name)) found.push(...(await documents(path)));
    else if (entry.isFile() && entry.name.endsWith(".md")) found.push(path);
  }
  return found.sort();
}

export async function textOf(document: string): Promise<string> {
  return await readFile(join(projectDirectory, document), "utf8");
}

/** The text of all files below the directories whose paths fit, generated ones left out. */
export async function textsBelow(directories: readonly string[], fits: RegExp): Promise<string[]> {
  const paths: string[] = [];
  for (const directory of directories) {
    for (const path of await readdir(join(projectDirectory, directory), { recursive: true })) {
      if (fits.test(path) && !path.startsWith("gen/")) paths.push(`${directory}/${path}`);
    }
  }
  return await Promise.all(paths.map(textOf));
}

export interface CodeBlock {
  /** "sh", "toml", …; "" for none. */
  readonly language: string;
  readonly text: string;
}

const block = /^```(\w*)\n(.*?)^```$/gms;

export function codeBlocksOf(text: string): CodeBlock[] {
  return [...text.matchAll(block)].map(([, language = "", inner = ""]) => ({ language, text: inner }));
}

/** Without blocks of code. */
export function proseOf(text: string): string {
  return text.replaceAll(block, "");
}

/** Code between single backquotes. */
export function inlineCodeOf(text: string): string[] {
  return [...proseOf(text).matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
}

/** What people are told to type, without what is set before it: commands of shell blocks, and code in sentences. */
export function typedIn(text: string): string[] {
  const blocks = codeBlocksOf(text).filter(({ language }) => language === "sh");
  const lines = [...blocks.flatMap((shell) => shell.text.split("\n")), ...inlineCodeOf(text)];
  return lines.flatMap((line) => line.split(/&&|\||;|#/)).map((line) => line.trim().replace(/^(?:[A-Z]\w+=\S+ )+/, ""));
}

/** Targets of `[text](target)`, but those on other machines. */
export function linksOf(text: string): string[] {
  const targets = [...proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}

/** The names by which GitHub's pages have headings: "What `check` finds" is "what-check-finds". */
export function anchorsOf(text: string): string[] {
  const headings = [...proseOf(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .trim()
      .replaceAll(" ", "-"),
  );
}

/** The rows of all tables: cells without their backquotes' neighbours' blanks. */
export function rowsIn(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("| ") && !/^\| -/.test(line))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}
