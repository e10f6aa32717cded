/** Certificates of the tests' own making, by openssl: an authority, and what it vouches for. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export interface Certificate {
  /** PEM files. */
  readonly certFile: string;
  readonly keyFile: string;
}

export interface TestAuthority extends Certificate {
  /** `names` as openssl writes them: "IP:127.0.0.1,DNS:registry.example". */
  issue(name: string, names: string): Promise<Certificate>;
  remove(): Promise<void>;
}

const newKey = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];

export async function makeAuthority(): Promise<TestAuthority> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-test-ca-"));
  const make = async (name: string, more: readonly string[]): Promise<Certificate> => {
    const made = { certFile: join(directory, `${name}.pem`), keyFile: join(directory, `${name}.key`) };
    const files = ["-keyout", made.keyFile, "-out", made.certFile, "-subj", `/CN=${name}`];
    await promisify(execFile)("openssl", ["req", ...newKey, ...files, ...more]);
    return made;
  };
  const own = await make("authority", ["-addext", "keyUsage=critical,keyCertSign"]);
  const signed = ["-CA", own.certFile, "-CAkey", own.keyFile, "-addext", "basicConstraints=CA:FALSE"];
  return {
    ...own,
    issue: async (name, names) => await make(name, [...signed, "-addext", `subjectAltName=${names}`]),
    remove: async () => {
      await rm(directory, { recursive: true, force: true });
    },
  };
}
