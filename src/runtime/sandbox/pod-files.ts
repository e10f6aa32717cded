import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isNotFound } from "../../base/errors.js";
import { shortId, type SandboxId } from "../../base/ids.js";
import type { DNSConfig, PodSandboxConfig } from "../../gen/runtime/v1/api.js";
import { isHostname } from "./check-request.js";

/** The Box's host name: the request's; else the pod's name where that is one; else the short id. */
export function podHostname(id: SandboxId, config: PodSandboxConfig): string {
  if (config.hostname !== "") return config.hostname;
  const name = config.metadata?.name ?? "";
  return name.length <= 63 && isHostname(name) ? name : shortId(id);
}

/**
 * Makes the folder with the files that the pod's containers get bound in: resolv.conf, hosts, hostname (kubelet.md 2.19:
 * the runtime's part). Readable for every user: containers read them under theirs.
 */
export async function writePodFiles(folder: string, hostname: string, dns: DNSConfig | undefined): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const mode = 0o644;
  await Promise.all([
    writeFile(join(folder, "hostname"), `${hostname}\n`, { mode }),
    writeFile(join(folder, "hosts"), hostsText(hostname), { mode }),
    resolvConfText(dns).then((text) => writeFile(join(folder, "resolv.conf"), text, { mode })),
  ]);
}

/** Success when it is not there. */
export async function removePodFiles(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

function hostsText(hostname: string): string {
  return [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
    `127.0.1.1\t${hostname}`,
    "",
  ].join("\n");
}

/** What dns_config says; the host's own where it says nothing (as kubelet expects with an empty resolvConf). */
async function resolvConfText(dns: DNSConfig | undefined): Promise<string> {
  const text = dns === undefined ? "" : dnsText(dns);
  if (text !== "") return text;
  try {
    return await readFile("/etc/resolv.conf", "utf8");
  } catch (thrown) {
    if (isNotFound(thrown)) return "";
    throw thrown;
  }
}

/** resolv.conf(5). */
function dnsText(dns: DNSConfig): string {
  const lines = dns.servers.map((server) => `nameserver ${server}`);
  if (dns.searches.length > 0) lines.unshift(`search ${dns.searches.join(" ")}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(" ")}`);
  return lines.map((line) => `${line}\n`).join("");
}
