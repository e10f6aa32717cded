import type { Dispatcher } from "undici";
import type { HostSettings } from "./hosts-file.js";
import type { Route } from "./http.js";
import { loadUndici, type Undici } from "../../base/load-undici.js";
import { proxyFor, type ProxySettings } from "../../base/proxy.js";
import type { TlsMaterial } from "./tls-material.js";

const usualDialTimeoutMs = 15_000;
/** At one origin: layers come side by side. */
const connections = 8;

/**
 * Connection pools, one for each way to connect: certificates, proxy, patience. Pools of settings that have changed stay
 * until the end; without requests they hold no connection.
 */
export class Transports {
  readonly #proxies: ProxySettings;
  readonly #pools = new Map<string, Dispatcher>();

  constructor(proxies: ProxySettings) {
    this.#proxies = proxies;
  }

  /** The way to a URL under one host's settings; also for where the host redirects to. */
  async route(settings: HostSettings, tls: TlsMaterial, url: URL): Promise<Route> {
    const undici = await loadUndici();
    const proxy = proxyFor(this.#proxies, url);
    const key = [
      tls.fingerprint,
      String(settings.skipVerify === true),
      String(settings.dialTimeoutMs ?? 0),
      proxy?.href ?? "",
    ].join(" ");
    let dispatcher = this.#pools.get(key);
    if (dispatcher === undefined) {
      dispatcher = makePool(undici, settings, tls, proxy);
      this.#pools.set(key, dispatcher);
    }
    return { dispatcher, proxy: proxy?.host };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
    this.#pools.clear();
  }
}

function makePool(
  { Agent, ProxyAgent }: Undici,
  settings: HostSettings,
  tls: TlsMaterial,
  proxy: URL | undefined,
): Dispatcher {
  const connect = {
    timeout: settings.dialTimeoutMs ?? usualDialTimeoutMs,
    secureContext: tls.context(),
    rejectUnauthorized: settings.skipVerify !== true,
  };
  if (proxy === undefined) return new Agent({ connect, connections });
  const { username, password } = proxy;
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return new ProxyAgent({
    uri: proxy.href,
    // A request without TLS goes to an HTTP proxy as it is, not through a tunnel: few proxies allow one to port 80.
    proxyTunnel: false,
    requestTls: connect,
    proxyTls: { timeout: connect.timeout, secureContext: connect.secureContext },
    connections,
    ...(username === "" ? {} : { token: `Basic ${Buffer.from(login).toString("base64")}` }),
  });
}
