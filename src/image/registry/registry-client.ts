import type { Logger } from "../../base/log.js";
import type { RegistryAuth } from "../image-store.js";
import type { Name } from "../reference/reference.js";
import { endpointsOf, type Endpoint } from "./endpoint.js";
import { readHosts } from "./hosts-directory.js";
import type { HttpSettings } from "./http.js";
import { keychainOf, type KeychainOptions } from "./keychain.js";
import type { ProxySettings } from "../../base/proxy.js";
import { Repository } from "./repository.js";
import { RegistrySession } from "./session.js";
import { readTlsMaterial } from "./tls-material.js";
import { Transports } from "./transports.js";

export interface RegistryOptions extends KeychainOptions {
  /** Directories of hosts.toml directories, as containerd's `config_path`; the first that has one for a registry counts. */
  readonly hostsDirs: readonly string[];
  /** Registry hosts ("registry.example:5000", "registry.example") to reach without TLS. */
  readonly plainHttp: readonly string[];
  readonly proxies: ProxySettings;
  /** A pull fails when its registry sends no byte for so long. */
  readonly stallMs: number;
  /** First wait before a failed request is repeated. */
  readonly retryDelayMs: number;
}

/** Pulls from registries, by the OCI distribution spec 1.1 and Docker's registry HTTP API V2. */
export class RegistryClient {
  readonly #options: RegistryOptions;
  readonly #log: Logger;
  readonly #transports: Transports;

  constructor(options: RegistryOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
    this.#transports = new Transports(options.proxies);
  }

  /** For one pull: hosts.toml and certificates are read now. Errors: `invalidArgument` names a bad file and its key. */
  async open(name: Name, auth: RegistryAuth | undefined): Promise<Repository> {
    const { hostsDirs, plainHttp, retryDelayMs } = this.#options;
    const { hosts, unknownKeys } = await readHosts(hostsDirs, name.host);
    if (unknownKeys.length > 0) {
      this.#log.warn({ registry: name.host, keys: unknownKeys }, "hosts.toml has keys that mean nothing");
    }
    const keychain = keychainOf(this.#options, auth);
    const endpoints = endpointsOf(name.host, hosts, plainHttp);
    const sessions = await Promise.all(
      endpoints.map(async (endpoint) => {
        const http = await this.#http(endpoint);
        return new RegistrySession({
          http,
          endpoint,
          registry: name.host,
          repository: name.repository,
          credentials: (signal) => keychain.credentials(endpoint.root.host, name.repository, signal),
        });
      }),
    );
    return new Repository(name.host, sessions, retryDelayMs);
  }

  async close(): Promise<void> {
    await this.#transports.close();
  }

  async #http({ settings }: Endpoint): Promise<HttpSettings> {
    const { stallMs, retryDelayMs } = this.#options;
    const tls = await readTlsMaterial(settings);
    return { stallMs, retryDelayMs, route: (url) => this.#transports.route(settings, tls, url) };
  }
}
