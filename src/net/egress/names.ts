/** Names of hosts in rules: "example.org", and "*.example.org" for all that is below it. Pure. */

const label = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const ruleName = new RegExp(`^(?:\\*\\.)?(?:${label}\\.)*${label}$`);
const longestName = 253;

/** In small letters, without the dot at its end; undefined for what is no name. An address is none. */
export function nameRule(text: string): string | undefined {
  const name = text.toLowerCase().replace(/\.$/, "");
  const digits = /^[0-9.]+$/.test(name);
  return name.length <= longestName && !digits && ruleName.test(name) ? name : undefined;
}

/** `name` is in small letters. */
export function nameFits(name: string, rules: readonly string[]): boolean {
  return rules.some((rule) => (rule.startsWith("*.") ? name.endsWith(rule.slice(1)) : name === rule));
}
