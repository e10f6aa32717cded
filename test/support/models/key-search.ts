/** What to look for a key with, inside of a guest: all of its files, and all that /proc says of everybody. */

/**
 * A line for sh that prints the files with one of the texts in them. Left out are /sys, programs of the agents (half a gigabyte, as
 * published), and of /proc what is memory, which is searched from outside, and what waits for more to come.
 */
export function filesWith(...texts: readonly string[]): string {
  // In brackets: the search does not find its own command line.
  const pattern = texts.map((text) => `[${text.slice(0, 1)}]${text.slice(1).replaceAll(".", "[.]")}`).join("|");
  const grep = `-type f -exec grep -lE '${pattern}' {} + 2>/dev/null`;
  const unread = ["mem", "pagemap", "kcore", "kmsg", "kpage*"].map((name) => `! -name '${name}'`).join(" ");
  const files = "find / \\( -path /sys -o -path /proc \\) -prune -o ! -name opencode ! -name codex";
  return `export LC_ALL=C; ${files} ${grep}; find /proc ${unread} ! -path '*/task/*' ${grep}; true`;
}
