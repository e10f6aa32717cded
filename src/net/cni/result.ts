import { isIP } from "node:net";
import * as z from "zod";

const text = z.string().nullish();
const texts = z.array(z.string()).nullish();

/** "10.1.0.5/24" */
const cidr = z.string().refine((value) => {
  const [address = "", length = "", ...more] = value.split("/");
  const longest = { 4: 32, 6: 128 }[isIP(address)];
  return more.length === 0 && longest !== undefined && /^\d{1,3}$/.test(length) && Number(length) <= longest;
}, "is no address with a prefix length");

/** Versions 0.1.0 and 0.2.0 have one address of each family. */
const ofFamily = z.looseObject({ ip: cidr }).nullish();

/** What a plugin prints after ADD: versions 0.3.0 to 1.1.0 differ in members that nobody here reads. */
const resultSchema = z.looseObject({
  cniVersion: text,
  interfaces: z.array(z.looseObject({ name: z.string(), sandbox: text })).nullish(),
  ips: z.array(z.looseObject({ address: cidr, interface: z.int().nullish() })).nullish(),
  ip4: ofFamily,
  ip6: ofFamily,
  dns: z.looseObject({ nameservers: texts, domain: text, search: texts, options: texts }).nullish(),
});

export type CniResult = z.infer<typeof resultSchema>;

export interface CniDns {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export function parseResult(value: unknown): CniResult {
  return resultSchema.parse(value);
}

/**
 * Addresses of the sandbox's interface without their prefix lengths, IPv4 first. An interface is known by its name alone,
 * as to containerd: some plugins do not say whose it is.
 */
export function addressesOf(result: CniResult, interfaceName: string): string[] {
  const interfaces = result.interfaces ?? [];
  const own = (result.ips ?? []).filter((ip) => {
    const owner = typeof ip.interface === "number" ? interfaces[ip.interface] : undefined;
    return owner === undefined || owner.name === interfaceName;
  });
  const families = [result.ip4, result.ip6].flatMap((one) => (one === null || one === undefined ? [] : [one.ip]));
  const addresses = [...own.map(({ address }) => address), ...families].map((one) => one.slice(0, one.indexOf("/")));
  return [...addresses.filter((one) => isIP(one) === 4), ...addresses.filter((one) => isIP(one) === 6)];
}

/** Undefined when it names no server, search domain or option. */
export function dnsOf(result: CniResult): CniDns | undefined {
  const servers = (result.dns?.nameservers ?? []).filter((server) => isIP(server) !== 0);
  const domain = result.dns?.domain ?? "";
  const words = [...(result.dns?.search ?? []), ...(domain === "" ? [] : [domain])];
  const searches = [...new Set(words.filter(isWord))];
  const options = (result.dns?.options ?? []).filter(isWord);
  return servers.length + searches.length + options.length === 0 ? undefined : { servers, searches, options };
}

/** One word of resolv.conf(5). */
function isWord(word: string): boolean {
  return /^[!-~]{1,255}$/.test(word);
}
