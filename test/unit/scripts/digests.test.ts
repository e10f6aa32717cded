import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { messageOf } from "../../../src/base/errors.js";
import { checkLockedCrate, checkSha256 } from "../../../scripts/setup/digests.js";

/** Of something else. */
const known = "0".repeat(64);

describe("what the set-up downloads", () => {
  it("is refused when its digest is another", async () => {
    const directory = await mkdtemp(join(tmpdir(), "a3s-digest-"));
    const file = join(directory, "file");
    await writeFile(file, "abc");
    const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-4's own example
    await checkSha256("crun 1.21", file, abc);
    const said = await checkSha256("crun 1.21", file, known).then(() => "", messageOf);
    expect(said).to.match(new RegExp(`^crun 1\\.21 has sha256 ${abc}, not ${known}`));
    await rm(directory, { recursive: true });
  });

  it("is, of a crate, what Cargo would take: refused by the lock file before anything of it runs", () => {
    const lock = `version = 4

[[package]]
name = "digest"
version = "0.0.0"

[[package]]
name = "virtiofsd"
version = "1.14.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "${"a".repeat(64)}"

[[package]]
name = "vm-memory"
version = "1.14.0"
checksum = "${"b".repeat(64)}"
`;
    const check = (version: string, sha256: string) => () => {
      checkLockedCrate(lock, "virtiofsd", version, sha256);
    };
    expect(check("1.14.0", "a".repeat(64))).not.to.throw();
    expect(check("1.14.0", "b".repeat(64))).to.throw(/crate virtiofsd 1\.14\.0 has sha256 a{64}, not b{64}/);
    expect(check("1.13.0", "a".repeat(64))).to.throw(/virtiofsd 1\.13\.0 has sha256 none/);
  });
});
