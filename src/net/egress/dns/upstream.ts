import { Resolver } from "node:dns/promises";
import { errnoOf } from "../../../base/errors.js";

/** What a name leads to, through as many aliases as its servers say. */
export interface Found {
  readonly code: "ok" | "noName" | "failed";
  readonly addresses: readonly string[];
  readonly ttlS: number;
}

/** Asks for the addresses of a name. */
export type Upstream = (name: string, family: 4 | 6) => Promise<Found>;

const timeoutMs = 2_000;
const tries = 2;

/** The servers given, or the node's own: its answers are read by c-ares, and nothing else of them gets any further. */
export function askServers(servers: readonly string[]): Upstream {
  const resolver = new Resolver({ timeout: timeoutMs, tries });
  if (servers.length > 0) resolver.setServers(servers);
  return async (name, family) => {
    try {
      const records = await (family === 4
        ? resolver.resolve4(name, { ttl: true })
        : resolver.resolve6(name, { ttl: true }));
      const ttlS = records.reduce((least, { ttl }) => Math.min(least, ttl), 3600);
      return { code: "ok", addresses: records.map(({ address }) => address), ttlS };
    } catch (thrown) {
      const code = errnoOf(thrown);
      if (code === "ENOTFOUND") return { code: "noName", addresses: [], ttlS: 0 };
      return { code: code === "ENODATA" ? "ok" : "failed", addresses: [], ttlS: 0 };
    }
  };
}
