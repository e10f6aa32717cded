import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { until } from "../deadline.js";
import type { Endpoint } from "../endpoint.js";
import type { TlsFiles } from "./tls-files.js";

/** Whether somebody is there, in the kernel's and the certificates' own words: gRPC says no more than that it took too long. */
export async function probe(endpoint: Endpoint, tls: TlsFiles | undefined, signal: AbortSignal): Promise<void> {
  if (endpoint.kind === "vsock") return;
  const socket = endpoint.kind === "tls" ? secure(endpoint, tls) : plain(endpoint);
  const isReady = endpoint.kind === "tls" ? "secureConnect" : "connect";
  try {
    const ready = new Promise<void>((resolve, reject) => {
      socket.once(isReady, resolve);
      socket.once("error", reject);
    });
    await until(ready, signal);
  } finally {
    socket.destroy();
  }
}

function plain(endpoint: Exclude<Endpoint, { kind: "vsock" }>): Socket {
  return endpoint.kind === "unix"
    ? connectPlain({ path: endpoint.path })
    : connectPlain({ host: endpoint.host, port: endpoint.port });
}

function secure({ host, port }: { readonly host: string; readonly port: number }, tls: TlsFiles | undefined): Socket {
  const files = Object.entries(tls ?? {}).filter(([, value]) => value !== undefined);
  // An address is no name: certificates have it by itself.
  const name = isIP(host) === 0 ? { servername: host } : {};
  return connectTls({ host, port, ...name, ALPNProtocols: ["h2", "http/1.1"], ...Object.fromEntries(files) });
}
