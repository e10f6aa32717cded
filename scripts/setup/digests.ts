import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { RuntimeError } from "../../src/base/errors.js";

/** What is downloaded is what was looked at when its version was chosen, whoever serves it now. */
export async function checkSha256(what: string, path: string, sha256: string): Promise<void> {
  refuseOther(what, await sha256Of(path), sha256);
}

/** Of a file, hex. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** npm's form of a digest: "sha512-" and base64. */
export async function checkIntegrity(what: string, path: string, integrity: string): Promise<void> {
  const hash = createHash("sha512");
  await pipeline(createReadStream(path), hash);
  refuseOther(what, `sha512-${hash.digest("base64")}`, integrity);
}

/**
 * A crate by the lock file that Cargo has made for a package that depends on it: Cargo takes no other content than what is
 * named there.
 */
export function checkLockedCrate(lock: string, name: string, version: string, sha256: string): void {
  const entry = lock
    .split("[[package]]")
    .find((text) => text.includes(`\nname = "${name}"\n`) && text.includes(`\nversion = "${version}"\n`));
  const found = /^checksum = "([0-9a-f]{64})"$/m.exec(entry ?? "")?.[1];
  refuseOther(`the crate ${name} ${version}`, found ?? "none", sha256);
}

function refuseOther(what: string, found: string, wanted: string): void {
  if (found === wanted) return;
  throw new RuntimeError(
    "failedPrecondition",
    `${what} has ${found.startsWith("sha512-") ? "" : "sha256 "}${found}, not ${wanted}`,
    {
      hint: "see what has changed before the digest in scripts/setup is changed",
    },
  );
}
