import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";

/** Where distributions keep the authorities that this machine knows (Go's crypto/x509/root_linux.go has the same). */
const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** The authorities that this machine knows, in PEM. */
export async function systemAuthorities(): Promise<readonly string[]> {
  const asked = process.env["SSL_CERT_FILE"];
  for (const path of asked === undefined || asked === "" ? systemBundles : [asked, ...systemBundles]) {
    const text = await readFile(path, "utf8").catch(() => undefined);
    if (text !== undefined) return [text];
  }
  return rootCertificates;
}
