import { registryName } from "./endpoint.js";

/**
 * CRI AuthConfig.server_address: "registry.example:5000", "https://index.docker.io/v1/"; "" is for whichever host is
 * asked, mirrors too, as in containerd. Credentials of another host are never sent.
 */
export function isFor(serverAddress: string, host: string): boolean {
  return serverAddress === "" || registryName(hostOf(serverAddress).host) === registryName(host);
}

/** "https://registry.example:5000/team" in its parts; the version of the API is none. */
export function hostOf(address: string): { host: string; path: string } {
  const [host = "", ...path] = address.replace(/^[a-z]+:\/\//i, "").split("/");
  const text = path.join("/").replace(/\/+$/, "");
  return { host, path: text === "v1" || text === "v2" ? "" : text };
}
