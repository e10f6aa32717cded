/**
 * Where credentials come from, in this order: the pull's own, the config's `image.auth`, a docker config.json. The first
 * that has some for a host decides; when they are refused, no other is tried.
 */
import type { RegistryAuth } from "../image-store.js";
import { anonymous, credentialsOf, type Credentials } from "./credentials.js";
import { readDockerConfig } from "./docker-config.js";
import { registryName } from "./endpoint.js";
import { isFor } from "./server-address.js";

type Login = Omit<RegistryAuth, "serverAddress">;

export interface KeychainOptions {
  /** By host ("registry.example:5000"). */
  readonly logins: Readonly<Record<string, Login>>;
  /** A docker config.json, read anew for each pull; undefined: none. */
  readonly dockerConfig: string | undefined;
}

export interface Keychain {
  /** For one host of a pull, the reference's own or a mirror. */
  credentials(host: string, repository: string, signal: AbortSignal): Promise<Credentials>;
}

export function keychainOf(options: KeychainOptions, auth: RegistryAuth | undefined): Keychain {
  return {
    credentials: async (host, repository, signal) => {
      const own = auth === undefined || !isFor(auth.serverAddress, host) ? anonymous : credentialsOf(auth);
      if (own.kind !== "anonymous") return own;
      const login = Object.entries(options.logins).find(([name]) => registryName(name) === registryName(host))?.[1];
      if (login !== undefined) return credentialsOf(login);
      if (options.dockerConfig === undefined) return anonymous;
      return await (await readDockerConfig(options.dockerConfig)).credentials(host, repository, signal);
    },
  };
}
