import { dockerHub } from "../reference/reference.js";

/** Docker Hub's API has a host of its own (distribution's default in every client). */
const hubApiHost = "registry-1.docker.io";

/** Where a registry's API is: "https://registry-1.docker.io". Plain HTTP for this machine and for hosts named so. */
export function endpointOf(host: string, plainHttp: readonly string[]): string {
  const apiHost = host === dockerHub ? hubApiHost : host;
  const plain = isLoopback(hostname(host)) || plainHttp.includes(host) || plainHttp.includes(hostname(host));
  return `${plain ? "http" : "https"}://${apiHost}`;
}

function hostname(host: string): string {
  return host.replace(/:[0-9]+$/, "");
}

function isLoopback(name: string): boolean {
  return name === "localhost" || name === "[::1]" || /^127\.[0-9]+\.[0-9]+\.[0-9]+$/.test(name);
}
