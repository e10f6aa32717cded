import { isIPv4, isIPv6 } from "node:net";
import { listenAddress } from "./listen-address.js";
import { absolutePath } from "./setting.js";

/** Where something may be listened on. */
export type ListenUrl =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "vsock"; readonly port: number };

/** "tcp://127.0.0.1:4088", "unix:///run/a3s/a3s-box.sock", "vsock://:4088"; undefined for anything else. */
export function listenUrl(text: string): ListenUrl | undefined {
  const [, kind, rest = ""] = /^(tcp|unix|vsock):\/\/(.*)$/s.exec(text) ?? [];
  if (kind === "unix") return absolutePath.test(rest) ? { kind, path: rest } : undefined;
  if (kind === "vsock") return vsockUrl(rest);
  const address = listenAddress(rest.replace(/^localhost:/, "127.0.0.1:"));
  return kind === undefined || address === undefined ? undefined : { kind: "tcp", ...address };
}

/** The one who listens may name itself, by its number or not at all. */
function vsockUrl(rest: string): ListenUrl | undefined {
  const [, digits] = /^\d{0,10}:(\d{1,10})$/.exec(rest) ?? [];
  return digits === undefined ? undefined : { kind: "vsock", port: Number(digits) };
}

/** As people write it. */
export function shownUrl(url: ListenUrl): string {
  if (url.kind === "unix") return `unix://${url.path}`;
  if (url.kind === "vsock") return `vsock://:${String(url.port)}`;
  return `tcp://${isIPv6(url.host) ? `[${url.host}]` : url.host}:${String(url.port)}`;
}

/** Nobody but this machine (or this pod, in a pod's network) reaches it. */
export function isLoopback(host: string): boolean {
  return isIPv4(host) ? host.startsWith("127.") : host === "::1";
}
