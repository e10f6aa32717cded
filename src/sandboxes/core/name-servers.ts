import { textOf } from "../../base/text-of.js";
import { addressOf } from "../../net/egress/ranges.js";

/** The second is where systemd-resolved keeps those that it asks itself. */
const files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
const most = 3;

/** Name servers that a Box can ask: the given ones, or the node's but for those on the node's loopback. */
export async function usableNameServers(given: readonly string[]): Promise<readonly string[]> {
  if (given.length > 0) return given;
  for (const path of files) {
    const found = serversIn(await textOf(path));
    if (found.length > 0) return found.slice(0, most);
  }
  return [];
}

function serversIn(text: string): string[] {
  const named = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, address = ""]) => address);
  return named.filter((address) => addressOf(address) !== undefined && !/^(?:127\.|::1$|fe80:)/.test(address));
}
