import { isIPv4, isIPv6 } from "node:net";

/** "127.0.0.1:9091" or "[::1]:9091" in its parts; undefined for anything else. */
export function listenAddress(text: string): { host: string; port: number } | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const host = bracketed ?? plain ?? "";
  const fits = bracketed === undefined ? isIPv4(host) : isIPv6(host);
  return fits && port <= 65_535 ? { host, port } : undefined;
}
