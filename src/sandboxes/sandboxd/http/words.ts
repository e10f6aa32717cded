import { RuntimeError } from "../../../base/errors.js";

/** A line of words as a POSIX shell parts it, and no more of a shell: quotes and backslashes; no variables, no operators. */
export function wordsOf(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < line.length; at += 1) {
    const character = line.charAt(at);
    if (character === "'" || character === '"') {
      const [text, end] = quoted(line, at + 1, character);
      word = (word ?? "") + text;
      at = end;
    } else if (character === "\\") {
      at += 1;
      if (at >= line.length) throw new RuntimeError("invalidArgument", "the command ends with a backslash");
      word = (word ?? "") + line.charAt(at);
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + character;
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** What is in quotes that begin before `from`, and where they end. In double ones a backslash quotes itself and them. */
function quoted(line: string, from: number, quote: string): [string, number] {
  let text = "";
  for (let at = from; at < line.length; at += 1) {
    const character = line.charAt(at);
    if (character === quote) return [text, at];
    const next = line.charAt(at + 1);
    if (quote === '"' && character === "\\" && (next === '"' || next === "\\")) {
      text += next;
      at += 1;
    } else text += character;
  }
  throw new RuntimeError("invalidArgument", "the command has a quote without its end");
}
