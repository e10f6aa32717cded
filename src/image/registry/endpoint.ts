/** Where a registry is asked, and how. */
import { dockerHub } from "../reference/reference.js";
import type { Capability, HostSettings } from "./hosts-file.js";

export interface Endpoint {
  /** API root: "https://registry-1.docker.io/v2". */
  readonly root: URL;
  readonly settings: HostSettings;
  /** Another host than the reference's: it is told which registry is meant. */
  readonly mirror: boolean;
  /** The words don't say whether it speaks TLS: it is found out, and plain HTTP is good enough. */
  readonly tryTlsFirst: boolean;
}

/** Docker Hub's API has a host of its own (distribution's default in every client). */
const hubApiHost = "registry-1.docker.io";
const hubHosts = [dockerHub, "index.docker.io", hubApiHost];

/** The endpoints of a reference's host, in the order in which they are to be asked. */
export function endpointsOf(
  host: string,
  hosts: readonly HostSettings[],
  plainHttp: readonly string[],
): readonly Endpoint[] {
  return hosts.map((settings) =>
    settings.root === undefined ? ownEndpoint(host, settings, plainHttp) : named(host, settings, settings.root),
  );
}

export function can(endpoint: Endpoint, capability: Capability): boolean {
  return endpoint.settings.capabilities.includes(capability);
}

/** One name for the names of one registry: Docker Hub has several. In lower case. */
export function registryName(host: string): string {
  const name = host.toLowerCase();
  return hubHosts.includes(name) ? dockerHub : name;
}

function named(host: string, settings: HostSettings, rootText: string): Endpoint {
  const root = new URL(rootText);
  if (root.host === dockerHub) root.host = hubApiHost;
  const tlsWords = settings.skipVerify !== undefined || settings.caFiles.length + settings.clientPairs.length > 0;
  const tryTlsFirst = root.protocol === "http:" && tlsWords && root.port !== "";
  return { root, settings, mirror: registryName(root.host) !== registryName(host), tryTlsFirst };
}

/**
 * The registry itself, where no hosts.toml names another server. On this machine plain HTTP is good enough, and a
 * certificate need not be anyone's (containerd's rule too: docker.IsLocalhost); its usual ports say what they are.
 */
function ownEndpoint(host: string, given: HostSettings, plainHttp: readonly string[]): Endpoint {
  const { hostname, port } = new URL(`https://${host}`);
  const loopback = isLoopback(hostname);
  const plain = plainHttp.includes(host) || plainHttp.includes(hostname) || (loopback && port === "80");
  const scheme = plain ? "http" : "https";
  const root = new URL(`${scheme}://${host === dockerHub ? hubApiHost : host}/v2`);
  const settings = { ...given, capabilities: allCapabilities, skipVerify: loopback ? true : given.skipVerify };
  return { root, settings, mirror: false, tryTlsFirst: loopback && !plain && port !== "" };
}

const allCapabilities: readonly Capability[] = ["pull", "resolve", "push"];

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127\.[0-9]+\.[0-9]+\.[0-9]+$/.test(hostname);
}
