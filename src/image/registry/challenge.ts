/** WWW-Authenticate: `Bearer realm="https://auth.example/token",service="registry"`. Source: RFC 9110, 11.6.1. */

export interface Challenge {
  /** In lower case: "bearer", "basic". */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+/;

/** Every challenge of the header; what can't be read ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  let rest = header.trimStart();
  while (rest !== "") {
    const scheme = token.exec(rest)?.[0];
    if (scheme === undefined) break;
    const parameters = new Map<string, string>();
    rest = readParameters(rest.slice(scheme.length).trimStart(), parameters);
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
  }
  return challenges;
}

/** Fills the map; gives what follows: the next challenge, or nothing. */
function readParameters(text: string, into: Map<string, string>): string {
  let rest = text;
  for (;;) {
    rest = rest.replace(/^[\s,]+/, "");
    const name = token.exec(rest)?.[0];
    if (name === undefined) return "";
    const after = rest.slice(name.length).trimStart();
    if (!after.startsWith("=")) return rest; // a scheme: the next challenge begins
    const value = readValue(after.slice(1).trimStart());
    if (value === undefined) return "";
    into.set(name.toLowerCase(), value.text);
    rest = value.rest;
  }
}

function readValue(text: string): { text: string; rest: string } | undefined {
  if (!text.startsWith('"')) {
    const plain = token.exec(text)?.[0];
    return plain === undefined ? undefined : { text: plain, rest: text.slice(plain.length) };
  }
  const quoted = /^"((?:[^"\\]|\\[^])*)"/.exec(text);
  if (quoted === null) return undefined;
  return { text: (quoted[1] ?? "").replace(/\\([^])/g, "$1"), rest: text.slice(quoted[0].length) };
}
