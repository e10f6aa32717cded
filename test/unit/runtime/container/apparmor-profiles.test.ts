import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { messageOf } from "../../../../src/base/errors.js";
import { ApparmorProfiles } from "../../../../src/runtime/container/apparmor-profiles.js";
import { boundaryOf } from "../../../../src/runtime/boundary/boundary-of.js";
import type { SecuritySpec } from "../../../../src/runtime/container/container-spec.js";
import { specOf } from "../spec/support.js";
import type { Box } from "../../../../src/vmm/box.js";

const signal = AbortSignal.timeout(60_000);
const machine = boundaryOf("qemu");
const host = boundaryOf("native");

/** What is asked of a Box here. */
function box(apparmor: boolean, driver = "qemu"): Box {
  const guest = { apparmor, kernelRelease: "6.12.9-a3s" };
  const asked = { handle: { driver }, agent: { guest: () => Promise.resolve(guest) } };
  return asked as unknown as Box;
}

describe("the AppArmor profiles of containers", () => {
  let root: string;
  let profiles: ApparmorProfiles;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "a3s-apparmor-"));
    const places = ["assets/apparmor", "directory", "loaded/first.1", "loaded/second.2", "loaded/third.3", "data"];
    for (const name of places) await mkdir(join(root, name), { recursive: true });
    await writeFile(join(root, "assets/apparmor/a3s-box-default"), "default");
    await writeFile(join(root, "directory/both"), "of the directory");
    await writeFile(join(root, "directory/kept"), "kept");
    await writeFile(join(root, "loaded/first.1/name"), "/usr/bin/first\n");
    await writeFile(join(root, "data/raw_data"), "first");
    await symlink("../../data/raw_data", join(root, "loaded/first.1/raw_data"));
    await writeFile(join(root, "loaded/second.2/name"), "both\n");
    await writeFile(join(root, "loaded/second.2/raw_data"), "of the kernel");
    await writeFile(join(root, "loaded/third.3/name"), "kept\n"); // by a kernel that keeps no data
    profiles = openWith(join(root, "directory"));
  });
  afterEach(() => rm(root, { recursive: true }));

  const openWith = (directory: string | undefined, always = false): ApparmorProfiles =>
    new ApparmorProfiles({ assetsDir: join(root, "assets"), directory, always, loaded: join(root, "loaded") });
  const policy = async (profile: string | undefined, boundary = machine): Promise<string> =>
    Buffer.from(await profiles.policyFor(profile, box(true), boundary, signal)).toString();
  const refusal = (profile: string, of = profiles, has = true): Promise<string> =>
    of.policyFor(profile, box(has), machine, signal).then(() => "", messageOf);

  it("are none where none is asked for, and then the Box is not asked either", async () => {
    expect(Buffer.from(await profiles.policyFor(undefined, box(false), machine, signal)).toString()).to.equal("");
    expect(profiles.state.profiles).to.equal("unknown");
  });

  it("come from the set-up, from the host's kernel, and from the directory, in this order", async () => {
    expect(await policy("a3s-box-default")).to.equal("default");
    expect(await policy("/usr/bin/first")).to.equal("first");
    expect(await policy("both")).to.equal("of the kernel");
    expect(await policy("kept")).to.equal("kept");
    expect(profiles.state).to.include({ profiles: "applied" });
  });

  it("are the kernel's own for a pod of the host, which gets only those that it has not", async () => {
    expect(await policy("/usr/bin/first", host)).to.equal("");
    expect(await policy("a3s-box-default", host)).to.equal("default");
    await writeFile(join(root, "directory/other"), "other");
    expect(await policy("other", host)).to.equal("other");
  });

  it("are refused where nobody has them, with what to do, and a name leads nowhere else", async () => {
    expect(await refusal("nobody's")).to.match(/no profile "nobody's".*apparmor_parser.*directory/);
    expect(await refusal("../assets/apparmor/a3s-box-default")).to.include("no profile");
    expect(await refusal(".")).to.include("no profile");
    expect(await refusal("nobody's", openWith(undefined))).to.match(/apparmor_parser\)$/);
  });

  it("are refused when they are too large, or nothing", async () => {
    await writeFile(join(root, "directory/large"), Buffer.alloc(1024 * 1024 + 1));
    await writeFile(join(root, "directory/empty"), "");
    await mkdir(join(root, "directory/folder"));
    expect(await refusal("large")).to.match(/AppArmor profile "large".*large: larger than 1048576 bytes/);
    expect(await refusal("empty")).to.include("empty is empty");
    expect(await refusal("folder")).to.include("EISDIR");
    await rm(join(root, "assets"), { recursive: true });
    expect(await refusal("a3s-box-default")).to.match(/ENOENT.*run the set-up again/);
  });

  it("are the default one for who asks for none, where that is configured, the kernel can, and it is not privileged", async () => {
    const completed = async (security: Partial<SecuritySpec>, always = true, can = true): Promise<unknown> => {
      const usual = specOf();
      const spec = { ...usual, security: { ...usual.security, ...security } };
      return (await openWith(undefined, always).completed(spec, box(can), signal)).security.apparmor;
    };
    expect(await completed({})).to.deep.equal({ kind: "default" });
    expect(await completed({}, false)).to.equal(undefined);
    expect(await completed({}, true, false)).to.equal(undefined);
    expect(await completed({ privileged: true })).to.equal(undefined);
    expect(await completed({ apparmor: { kind: "none" } })).to.deep.equal({ kind: "none" });
  });

  it("are refused where the kernel has no AppArmor: Status says so, and why", async () => {
    expect(await refusal("both", profiles, false)).to.match(/guest's kernel 6\.12\.9-a3s has no AppArmor.*Unconfined/);
    expect(profiles.state).to.deep.include({ profiles: "refused" });
    expect(profiles.state.reason).to.include("6.12.9-a3s");
  });
});
