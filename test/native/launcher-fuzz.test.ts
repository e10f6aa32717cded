/**
 * What the launcher reads, damaged, against a build with AddressSanitizer and UBSan: the config of a machine, and the options
 * of a jail. Nothing is started: the library and the program are not there.
 */
import { expect } from "chai";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fuzz } from "../support/fuzzing/run.js";
import { projectDirectory } from "../support/project.js";

const program = join(projectDirectory, "build/assets/sanitized/bin/a3s-box-launcher");

/** launcher/exit_codes.h */
const usage = 100;
const wrongConfig = 101;
const last = 112;

const config = [
  ["libkrun", "/none/libkrun.so"],
  ["kernel", "/none/kernel"],
  ["cmdline", "console=hvc0 init=/a b=c"],
  ["vcpus", "2"],
  ["memory_mib", "512"],
  ["share", "40"],
  ["base", "41"],
  ["tag", "podroot"],
  ["console", "/none/console.log"],
  ["socket_directory", "/none/sockets"],
];
const more = [
  ["tap", "tap0"],
  ["mac", "02:00:00:00:00:0a"],
  ["log_level", "3"],
  ["nofile", "4096"],
];
const textOf = (pairs: readonly (readonly string[])[]): string => pairs.map((pair) => `${pair.join("=")}\n`).join("");

describe("the launcher, of what is damaged,", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-launcher-fuzz-"));
  });
  after(async () => {
    await rm(directory, { recursive: true });
  });

  it("takes a config or refuses it in one line, and does nothing else", async function () {
    this.timeout(0);
    await fuzz({
      name: "launcher-config",
      seeds: [textOf(config), textOf([...config, ...more])],
      words: ["=", "\n", "\0", "userns=3\n", "mac=", "tap=", "vcpus=255\n", ":", "/"],
      tried: async (input) => {
        const file = join(directory, "config");
        await writeFile(file, input);
        const code = await launched("run", file);
        return code !== wrongConfig;
      },
    });
  });

  it("takes a jail's options or refuses them in one line, and starts nothing", async function () {
    this.timeout(0);
    const options = ["see=/usr", "link=/lib:usr/lib", "file=/etc/x:words", "proc=fd", "user=70000", "keep=1"];
    const limits = ["processes=7", "open_files=256", "refuse=syncfs"];
    await fuzz({
      name: "launcher-options",
      seeds: [options, [...options, ...limits], ["keep=63", "user=4294967294"]].map((all) =>
        [...all, "--", "/none/program", "name", "argument"].join("\n"),
      ),
      words: ["=", ":", "\n", "--", "keep=", "user=", "see=/", "calls=vmm", "/.."],
      tried: async (input) => {
        // Nothing that makes a file of the host: neither could come of the seeds but by a long chance.
        const words = input.toString("latin1").replaceAll("\0", "").split("\n");
        if (words.some((word) => /^(append|listen|connect|tap)=/.test(word))) return false;
        return (await launched("enter", ...words)) !== usage;
      },
    });
  });
});

/** Its exit status, which is one of its own, with a line that says why. */
async function launched(...args: string[]): Promise<number> {
  return await new Promise((resolve, reject) => {
    const options = { env: { ASAN_OPTIONS: "detect_leaks=0" }, timeout: 30_000, encoding: "latin1" as const };
    const child = execFile(program, args, options, (_error, stdout, stderr) => {
      try {
        expect(stderr + stdout).to.match(/^a3s-box-launcher: [a-z ]+: [^\n]+\n$/);
        const { exitCode } = child;
        expect(exitCode).to.be.within(usage, last);
        resolve(exitCode ?? 0);
      } catch (thrown) {
        reject(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
    });
  });
}
