import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContext } from "node:tls";
import { systemAuthorities } from "../../base/authorities.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import type { HostSettings } from "./hosts-file.js";

/** Certificates and keys of one host, as they were when they were read. */
export interface TlsMaterial {
  /** Changes when a file's content does. */
  readonly fingerprint: string;
  context(): SecureContext;
}

/**
 * The system's authorities and the host's own. Several client pairs are allowed, but of each kind of key only the last
 * is used (OpenSSL keeps one per kind).
 */
export async function readTlsMaterial(settings: HostSettings): Promise<TlsMaterial> {
  const own = await Promise.all(settings.caFiles.map(readCertificates));
  const pairs = await Promise.all(
    settings.clientPairs.map(async ({ certFile, keyFile }) => ({
      certFile,
      cert: await readPem(certFile, "client"),
      key: await readPem(keyFile, "client"),
    })),
  );
  const system = await systemAuthorities();
  const hash = createHash("sha256");
  for (const text of [...own, ...pairs.flatMap(({ cert, key }) => [cert, key]), ...system]) hash.update(text);
  const make = (): SecureContext => {
    try {
      const [cert, key] = [pairs.map((pair) => pair.cert), pairs.map((pair) => pair.key)];
      return createSecureContext({ ca: [...system, ...own], ...(pairs.length > 0 ? { cert, key } : {}) });
    } catch (cause) {
      const files = [...settings.caFiles, ...pairs.map((pair) => pair.certFile)].join(", ");
      throw new RuntimeError("invalidArgument", `no TLS with ${files}: ${messageOf(cause)}`, { cause });
    }
  };
  let context: SecureContext | undefined;
  return { fingerprint: hash.digest("hex"), context: () => (context ??= make()) };
}

async function readCertificates(path: string): Promise<string> {
  const text = await readPem(path, "ca");
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw new RuntimeError("invalidArgument", `ca = "${path}" holds no certificate in PEM form`);
}

async function readPem(path: string, key: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new RuntimeError("invalidArgument", `${key} = "${path}" can't be read: ${messageOf(cause)}`, {
      hint: "it is named in the registry's hosts.toml, or lies in its directory",
      cause,
    });
  }
}
