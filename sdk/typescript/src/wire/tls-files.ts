import { readFileSync } from "node:fs";
import { credentials, type ChannelCredentials } from "@grpc/grpc-js";
import { nonEmpty } from "../endpoint.js";
import { InvalidArgumentError } from "../errors.js";
import type { ConnectionOpts } from "../options.js";
import type { Environment } from "./environment.js";

/** PEM. */
export interface TlsFiles {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

export function tlsFiles({ ca, cert, key }: ConnectionOpts, env: Environment): TlsFiles {
  const file = nonEmpty(env["A3S_BOX_CA_FILE"]);
  const pem = (text: string | undefined): Buffer | undefined => (text === undefined ? undefined : Buffer.from(text));
  try {
    return { ca: pem(ca) ?? (file === undefined ? undefined : readFileSync(file)), cert: pem(cert), key: pem(key) };
  } catch (cause) {
    throw new InvalidArgumentError(`A3S_BOX_CA_FILE ${String(file)} can't be read`, { stage: "connect", cause });
  }
}

export function secured({ ca, cert, key }: TlsFiles): ChannelCredentials {
  try {
    return credentials.createSsl(ca ?? null, key ?? null, cert ?? null);
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidArgumentError(`the certificates can't be used: ${words}`, { stage: "connect", cause });
  }
}
