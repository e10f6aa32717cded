/** The image, by a real Docker. By name: it takes Docker's packages, and minutes (`A3S_TEST_DOCKER=1`). */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createGzip } from "node:zlib";
import { expect } from "chai";
import { packageVersion } from "../../src/base/version.js";
import { neededCapabilities } from "../../src/cli/rights-findings.js";
import { Docker } from "../support/deploy/docker.js";
import { shippedBusybox, succeeded } from "../support/deploy/in-root.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";

const limitMs = limit(900_000);
const version = packageVersion();
const image = `a3s-box:${version}`;
const base = "debian:13-slim";
const mostPacked = 90_000_000;
const names = [...neededCapabilities.values()];

const rights = (capabilities: readonly string[]): string[] => [
  ...["--cap-drop", "ALL", ...capabilities.flatMap((name) => ["--cap-add", name])],
  ...["--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp", "--tmpfs", "/run:exec"],
];
const profile = ["--security-opt", `seccomp=${join(projectDirectory, "deploy/seccomp.json")}`];

describe("the image", function () {
  this.timeout(limitMs);
  let docker: Docker;
  before(async function () {
    if (process.env["A3S_TEST_DOCKER"] !== "1") skipBecause(this, "A3S_TEST_DOCKER=1 has these tests run");
    const out = process.env["A3S_TEST_RELEASE"] ?? join(projectDirectory, "build/release");
    if (process.env["A3S_TEST_RELEASE"] === undefined) {
      await succeeded(process.execPath, ["scripts/release.mjs", "--out", out], { limitMs, cwd: projectDirectory });
    }
    docker = await Docker.start();
    const root = join(projectDirectory, "build/assets/debian-roots/trixie.tar");
    await docker.succeeded(["import", root, base]);
    const tree = join(out, `a3s-box-${version}-linux-amd64`);
    const file = ["--file", join(projectDirectory, "image/Dockerfile"), "--target", "full"];
    await docker.succeeded(["build", ...file, "--tag", image, tree], { limitMs });
  });
  after(async () => {
    if (process.env["A3S_TEST_DOCKER"] === "1") await docker.stop();
  });

  it("is smaller than 90 MB packed, and has no shell", async () => {
    const bytes = await packedSize(docker);
    process.stdout.write(`      ${(bytes / 1e6).toFixed(1)} MB packed\n`);
    expect(bytes).to.be.lessThan(mostPacked);
    const { status, stderr } = await docker.ended(["run", "--rm", "--entrypoint", "/bin/sh", image, "-c", "true"]);
    expect(status).to.be.greaterThan(124);
    expect(stderr).to.contain("no such file");
  });

  it("does not start its port without a token", async () => {
    const { status, stderr } = await docker.ended(["run", "--rm", ...rights(names), ...profile, image]);
    expect(stderr).to.contain("there are no tokens: whoever comes would run programs");
    expect(status).to.equal(1);
  });

  it("says in a container as Docker makes it that Boxes can't be run there, and why", async () => {
    const { status, stdout } = await docker.ended(["run", "--rm", image, "check"]);
    expect(stdout).to.match(/capabilities +missing +without NET_ADMIN, SYS_ADMIN /);
    expect(stdout).to.contain("Boxes can't be run here: ").and.contain("capabilities");
    expect(status).to.equal(1);
  });

  it("says that they can with thirteen capabilities, a read-only root and our seccomp profile", async () => {
    const { status, stdout } = await docker.ended(["run", "--rm", ...rights(names), ...profile, image, "check"]);
    expect(stdout).to.contain("Boxes can be run here, by qemu.");
    expect(stdout).to.match(/jail of a Box +OK +entered, under a seccomp filter/);
    expect(status).to.equal(0);
  });

  for (const name of names) {
    it(`names ${name} where it is the one that is missing`, async () => {
      const others = names.filter((one) => one !== name);
      const { status, stdout } = await docker.ended(["run", "--rm", ...rights(others), ...profile, image, "check"]);
      expect(stdout).to.match(new RegExp(`capabilities +missing +without ${name} `));
      expect(status).to.equal(1);
    });
  }

  it("names what Docker's own seccomp profile forbids, and the profile that does not", async () => {
    const { status, stdout } = await docker.ended(["run", "--rm", ...rights(names), image, "check"]);
    expect(stdout).to.match(/jail of a Box +missing +.*pivot_root.*deploy\/seccomp\.json/);
    expect(status).to.equal(1);
  });

  it("names an overlay on an overlay, and its cure", async () => {
    const args = ["run", "--rm", ...rights(names).filter((word) => word !== "--read-only"), ...profile, image, "check"];
    const { status, stdout } = await docker.ended([...args, "--root", "/srv/a3s-box"]);
    expect(stdout).to.match(/containers' trees +missing +.*on overlay: .*a volume \(docker run --volume/);
    expect(status).to.equal(1);
  });

  describe("with compose, by the guide's commands", () => {
    let directory = "";
    const compose = async (...args: string[]): Promise<string> =>
      await docker.succeeded(["compose", ...args], { cwd: join(directory, "compose"), limitMs });
    const box = async (...args: string[]): Promise<string> =>
      await compose("exec", "-T", "a3s-box", "a3s-box", ...args);
    before(async () => {
      directory = await docker.directory("deploy");
      await cp(join(projectDirectory, "deploy"), directory, { recursive: true });
      const config = join(directory, "compose/config.toml");
      const text = await readFile(config, "utf8");
      // No registry is at hand.
      await writeFile(config, text.replace(/image = ".*"/, `image = "${shippedBusybox}"\nmemory_mib = 256`));
      await cp(join(projectDirectory, "build/assets/image/busybox.tar"), join(directory, "compose/workspace/base.tar"));
      await mkdir(join(directory, "compose/skills/one"));
      await writeFile(join(directory, "compose/skills/one/SKILL.md"), "---\nname: one\n---\n");
    });
    after(async () => {
      await docker.ended(["compose", "down", "--volumes", "--timeout", "10"], { cwd: join(directory, "compose") });
    });

    it("is up, has made a token, and runs a program in a Box", async () => {
      const begun = performance.now();
      await compose("up", "--wait");
      const upMs = performance.now() - begun;
      await box("image", "import", "/workspace/base.tar");
      expect(await box("run", "--rm", "base", "echo", "from a Box")).to.equal("from a Box\n");
      const inAll = performance.now() - begun;
      process.stdout.write(`      up in ${(upMs / 1000).toFixed(1)} s, a command in ${(inAll / 1000).toFixed(1)} s\n`);
    });

    it("takes who shows the token, and nobody else", async () => {
      const token = (await box("token")).trim();
      const ask = async (...more: string[]): Promise<string> =>
        (await docker.near("curl", ["-s", "-w", " %{http_code}", ...more, "http://127.0.0.1:4088/v1/sandboxes"]))
          .stdout;
      expect(await ask()).to.match(/ 401$/);
      expect(await ask("-H", "Authorization: Bearer not-the-token-at-all")).to.match(/ 401$/);
      expect(await ask("-H", `Authorization: Bearer ${token}`)).to.match(/ 200$/);
    });

    it("shares the workspace both ways, and skills one way", async () => {
      const mounts = ["-v", "/workspace:/workspace", "-v", "/skills:/skills:ro"];
      await writeFile(join(directory, "compose/workspace/in"), "given\n");
      const line =
        "cat /workspace/in /skills/one/SKILL.md; echo made > /workspace/out; echo x > /skills/one/y || echo no";
      const said = await box("run", "--rm", ...mounts, "base", "sh", "-c", line);
      expect(said)
        .to.match(/^given\n---\nname: one\n/)
        .and.match(/no\n$/);
      expect(await readFile(join(directory, "compose/workspace/out"), "utf8")).to.equal("made\n");
    });

    it("is healthy, and has the same token and images after it was taken down and up", async () => {
      const token = await box("token");
      expect(await compose("ps")).to.contain("(healthy)");
      await compose("down", "--timeout", "20");
      await compose("up", "--wait");
      expect(await box("token")).to.equal(token);
      expect(await box("run", "--rm", "base", "echo", "again")).to.equal("again\n");
      expect((await stat(join(directory, "compose/workspace/out"))).isFile()).to.equal(true);
    });
  });
});

/** What a registry would hold of it, near enough. */
async function packedSize(docker: Docker): Promise<number> {
  const child = spawn("docker", ["save", image], { env: docker.env, stdio: ["ignore", "pipe", "inherit"] });
  let bytes = 0;
  const zip = child.stdout.pipe(createGzip());
  zip.on("data", (chunk: Buffer) => (bytes += chunk.length));
  await once(zip, "end");
  return bytes;
}
