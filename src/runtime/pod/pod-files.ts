import { chown, mkdir, rm, writeFile } from "node:fs/promises";
import { hostname as nodeName } from "node:os";
import { dirname, join } from "node:path";
import { closedDirectory } from "../../base/closed-directory.js";
import { textOf } from "../../base/text-of.js";
import { shortId, type PodId } from "../../base/ids.js";
import { attachmentAddresses, attachmentDns, type Attachment } from "../../net/attachment.js";
import type { IdMap, Native } from "../../native/addon.js";
import type { CniDns } from "../../net/cni/result.js";
import { isThere } from "../../base/is-there.js";
import { isHostname } from "./check-spec.js";
import type { Pod } from "./pod.js";
import type { DnsSpec, PodSpec } from "./pod-spec.js";

/** The pod's host name: the host's with its network, as its UTS namespace comes along; else the request's; else the pod's name where that is one; else the short id. */
export function podHostname(id: PodId, { namespaces, hostname, name }: PodSpec): string {
  if (namespaces?.network === "host") return nodeName();
  if (hostname !== "") return hostname;
  return name.length <= 63 && isHostname(name) ? name : shortId(id);
}

const names = ["hostname", "hosts", "resolv.conf"] as const;
/** Of all three together: what containers write there is in memory, and in no figure of their disk use. */
const filesBytes = 1024 * 1024;
/** The directory and its files, with one to spare. */
const filesInodes = names.length + 2;

/**
 * The files that a pod's containers get bound in: resolv.conf, hosts, hostname (CRI leaves them to the runtime). Readable for
 * every user: containers read them under theirs. Containers write to them too, and change their modes: so they lie on a
 * file system of the pod's own on which nothing is a program, in directories that nobody but root passes (docs/adr/0078).
 */
export class PodFiles {
  readonly hostname: string;
  readonly #directory: string;
  readonly #dns: DnsSpec | undefined;
  readonly #native: Pick<Native, "mountTmpfs" | "unmount">;

  constructor(
    { id, spec, directory }: Pick<Pod, "id" | "spec" | "directory">,
    native: Pick<Native, "mountTmpfs" | "unmount">,
  ) {
    this.hostname = podHostname(id, spec);
    this.#directory = directory;
    this.#dns = spec.dns;
    this.#native = native;
  }

  /** `owner`: root of a user namespace that the host has for the pod. */
  async write(owner: IdMap | null): Promise<void> {
    await closedDirectory(dirname(this.#directory));
    await mkdir(this.#directory, { mode: 0o700 });
    const more = { maxInodes: filesInodes, owner: 0, noexec: true, nosymfollow: false };
    await this.#native.mountTmpfs(this.#directory, filesBytes, 0o700, more);
    await Promise.all([
      this.#write("hostname", `${this.hostname}\n`),
      this.#write("hosts", hostsText(this.hostname)),
      resolvConfText(this.#dns).then((text) => this.#write("resolv.conf", text)),
    ]);
    if (owner === null) return;
    for (const name of names) await chown(join(this.#directory, name), owner.uids.first, owner.gids.first);
  }

  /** Adds what only the network knows: the pod's addresses, and name servers where the request names none. */
  async tell(network: Attachment | undefined): Promise<void> {
    if (network === undefined) return;
    const [address] = attachmentAddresses(network);
    await this.#write("hosts", hostsText(this.hostname, address));
    const dns = attachmentDns(network);
    if (this.#dns === undefined && dns !== undefined) await this.#write("resolv.conf", dnsText(dns));
  }

  /**
   * The same for a pod whose daemon is not in the container that the last one was in: the file system of its files is a mount
   * of that one's, and is kept by the containers that run alone. Does nothing where they are there.
   */
  async restore(network: Attachment | undefined): Promise<boolean> {
    if (await isThere(join(this.#directory, "hosts"))) return false;
    await this.remove();
    await this.write(null);
    await this.tell(network);
    return true;
  }

  async remove(): Promise<void> {
    await removePodFiles(this.#directory, this.#native);
  }

  async #write(name: (typeof names)[number], text: string): Promise<void> {
    await writeFile(join(this.#directory, name), text, { mode: 0o644 });
  }
}

/** Success when it is not there. */
export async function removePodFiles(directory: string, native: Pick<Native, "unmount">): Promise<void> {
  await native.unmount(directory, true);
  await rm(directory, { recursive: true, force: true });
}

function hostsText(hostname: string, address = "127.0.1.1"): string {
  return [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
    `${address}\t${hostname}`,
    "",
  ].join("\n");
}

/** What dns_config says; the host's own where it says nothing (as kubelet expects with an empty resolvConf). */
async function resolvConfText(dns: DnsSpec | undefined): Promise<string> {
  const text = dns === undefined ? "" : dnsText(dns);
  return text !== "" ? text : await textOf("/etc/resolv.conf");
}

/** resolv.conf(5). */
function dnsText(dns: DnsSpec | CniDns): string {
  const lines = dns.servers.map((server) => `nameserver ${server}`);
  if (dns.searches.length > 0) lines.unshift(`search ${dns.searches.join(" ")}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(" ")}`);
  return lines.map((line) => `${line}\n`).join("");
}
