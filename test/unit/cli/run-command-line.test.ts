import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { configOf, parseFile } from "../../../src/config/load.js";

const root = join(import.meta.dirname, "../../..");

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line as a process of its own. */
function run(...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, ["--import=tsx", join(root, "src/main.ts"), ...args], { cwd: root });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => {
      resolve({ status, stdout, stderr });
    });
  });
}

describe("the command line", function () {
  this.timeout(30_000); // starts processes

  it("prints the version of the package", async () => {
    const text = readFileSync(join(root, "package.json"), "utf8");
    const version = /"version": "([^"]+)"/.exec(text)?.[1];
    expect(await run("--version")).to.deep.equal({
      status: 0,
      stdout: `a3s-box-cri-runtime ${version ?? "?"}\n`,
      stderr: "",
    });
  });

  it("prints a config that parses to the defaults", async () => {
    const { status, stdout } = await run("config", "default");
    expect(status).to.equal(0);
    expect(configOf(parseFile(stdout, "stdout"))).to.deep.equal(configOf(new Map()));
  });

  it("names every command in its help, and each command's flags in that one's", async () => {
    const { status, stdout } = await run("--help");
    expect(status).to.equal(0);
    for (const name of ["serve", "check", "image import", "image list", "config default"]) {
      expect(stdout).to.include(`  ${name} `);
    }
    const help = await run("image", "import", "--help");
    expect(help.status).to.equal(0);
    expect(help.stdout)
      .to.match(/^Usage: a3s-box-cri-runtime image import .*FILE\n/)
      .and.include("--root DIR");
  });

  for (const [what, args, message] of [
    ["no command", [], /no command given/],
    ["an unknown command", ["image", "eat"], /unknown command "image eat"/],
    ["an unknown flag", ["config", "default", "--fast"], /--fast/],
    ["an import of nothing", ["image", "import"], /which FILE\?/],
  ] as const) {
    it(`ends with status 2 at ${what}, and points to the help`, async () => {
      const { status, stdout, stderr } = await run(...args);
      expect([status, stdout]).to.deep.equal([2, ""]);
      expect(stderr).to.match(message);
      expect(stderr).to.match(/See a3s-box-cri-runtime --help\n$/);
    });
  }

  it("leaves to a program what stands behind it, its -h and --help too", async () => {
    const nobody = ["--endpoint", "nowhere"];
    for (const words of [
      ["exec", ...nobody, "box", "df", "-h"],
      ["run", ...nobody, "-e", "A=b", "base", "git", "--help"],
    ]) {
      const { status, stdout, stderr } = await run(...words);
      expect([status, stdout], words.join(" ")).to.deep.equal([1, ""]);
      expect(stderr).to.include('"nowhere" is no endpoint');
    }
    const help = await run("run", "-e", "A=b", "--help", "base");
    expect(help.stdout).to.match(/^Usage: a3s-box-cri-runtime run /);
  });

  it("ends with status 1 and one line when the config is wrong, before anything is made", async () => {
    const { status, stderr } = await run(
      "serve",
      "--config",
      "/dev/null",
      "--driver",
      "xen",
      "--root",
      "/nonexistent/a",
    );
    expect(status).to.equal(1);
    expect(stderr).to.match(/^a3s-box-cri-runtime: driver = "xen" in --driver is not allowed \(allowed: [^\n]*\)\n$/);
  });
});
