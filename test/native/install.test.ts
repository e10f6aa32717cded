/** What `install` puts in place, into a directory; the unit as systemd's own checker reads it. */
import { execFile } from "node:child_process";
import { appendFile, chmod, mkdir, mkdtemp, open, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { loadConfig } from "../../src/config/load.js";
import { loadNative } from "../../src/native/addon.js";
import { install } from "../../src/cli/install.js";
import { uninstall } from "../../src/cli/uninstall.js";
import { projectDirectory } from "../support/project.js";

describe("the installed service", () => {
  let directory: string;
  const at = (path: string): string => join(directory, path);
  const unit = "etc/systemd/system/a3s-box.service";
  /** What a command prints is not the test's output. */
  const quietly = async (work: () => Promise<number>): Promise<string> => {
    const write = process.stdout.write.bind(process.stdout);
    let printed = "";
    process.stdout.write = (text) => ((printed += String(text)), true);
    try {
      expect(await work()).to.equal(0);
    } finally {
      process.stdout.write = write;
    }
    return printed;
  };
  const doInstall = (): Promise<string> => quietly(() => install(["--destination", directory]));

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-i"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it("is a unit that systemd finds nothing wrong with", async () => {
    await doInstall();
    const { stdout, stderr } = await promisify(execFile)("systemd-analyze", ["verify", "--man=no", at(unit)]);
    expect((stdout + stderr).split("\n").filter((line) => line.includes("a3s-box"))).to.deep.equal([]);
  });

  it("is exposed no more than it has to be, by systemd's own figures", async () => {
    await doInstall();
    // exit status 1 from 9.0 on; without any hardening it is 9.6
    await promisify(execFile)("systemd-analyze", ["security", "--offline=true", "--threshold=90", at(unit)]);
  });

  it("starts this package by this Node", async () => {
    await doInstall();
    const text = await readFile(at(unit), "utf8");
    expect(text).to.contain(`ExecStart=${process.execPath} ${join(projectDirectory, "dist/main.js")} serve\n`);
    expect(text).to.not.match(/@[A-Z]+@/);
  });

  it("has a configuration that the daemon takes", async () => {
    await doInstall();
    const config = at("etc/a3s-box/config.toml");
    expect(await loadConfig({ config })).to.deep.equal(await loadConfig({ config: "/dev/null" }));
  });

  it("can be installed twice, and leaves what the operator has changed", async () => {
    await doInstall();
    await writeFile(at("etc/crictl.yaml"), "timeout: 5\n");
    await writeFile(at("etc/a3s-box/config.toml"), 'network = "loopback"\n');
    await writeFile(at(unit), "# of an older version\n");
    expect(await doInstall()).to.match(/a3s-box\.service +brought up to date/);
    expect(await readFile(at("etc/crictl.yaml"), "utf8")).to.equal("timeout: 5\n");
    expect(await readFile(at("etc/a3s-box/config.toml"), "utf8")).to.equal('network = "loopback"\n');
    expect(await doInstall()).to.match(/a3s-box\.service +is there/);
  });

  it("keeps its configuration, which may have passwords, from other users: a new one, and one that was open", async () => {
    const config = at("etc/a3s-box/config.toml");
    const mode = async (path: string): Promise<string> => ((await stat(path)).mode & 0o7777).toString(8);
    await doInstall();
    expect(await mode(config)).to.equal("600");
    expect(await mode(at(unit))).to.equal("644");
    for (const text of ["", 'network = "loopback"\n']) {
      await appendFile(config, text);
      await chmod(config, 0o644);
      expect(await doInstall()).to.match(/config\.toml +(is there|kept as it is), closed to other users/);
      expect(await mode(config)).to.equal("600");
    }
    await chmod(config, 0o400);
    expect(await doInstall()).to.match(/config\.toml +kept as it is +/);
    expect(await mode(config)).to.equal("400");
  });

  it("leaves nobody a moment to read it, also after an install that was interrupted", async () => {
    const config = at("etc/a3s-box/config.toml");
    await mkdir(dirname(config), { recursive: true });
    await writeFile(`${config}.new`, "half", { mode: 0o666 });
    const reader = await open(`${config}.new`, "r");
    await doInstall();
    expect(await reader.readFile("utf8")).to.equal("half");
    await reader.close();
    expect((await stat(config)).mode & 0o777).to.equal(0o600);
  });

  it("goes, but for settings and what was changed, and with --purge the settings too", async () => {
    await doInstall();
    await writeFile(at("etc/crictl.yaml"), "timeout: 5\n");
    const rest = async (): Promise<string[]> =>
      (await readdir(directory, { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile())
        .map(({ name }) => name)
        .sort();
    await quietly(() => uninstall(["--destination", directory]));
    expect(await rest()).to.deep.equal(["config.toml", "crictl.yaml"]);
    await quietly(() => uninstall(["--destination", directory, "--purge"]));
    expect(await rest()).to.deep.equal(["crictl.yaml"]);
    await quietly(() => uninstall(["--destination", directory, "--purge"]));
  });
});

describe("notifySocket", () => {
  const { native } = loadNative(join(projectDirectory, "build/assets"));

  for (const kind of ["a path", "an abstract name"]) {
    it(`sends one datagram to ${kind}`, async () => {
      const directory = await mkdtemp(join(tmpdir(), "a3s-i"));
      const path = kind === "a path" ? join(directory, "s") : `@a3s-test-${String(process.pid)}`;
      // Node has no Unix datagram sockets: a few lines of Python stand for systemd.
      const script = `import socket,sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.settimeout(20)
s.bind(sys.argv[1].replace("@", "\\0", 1) if sys.argv[1][0] == "@" else sys.argv[1])
print("bound", flush=True); print(s.recv(100).decode(), flush=True)`;
      try {
        const listening = promisify(execFile)("python3", ["-c", script, path]);
        await new Promise<void>((resolve) =>
          listening.child.stdout?.once("data", () => {
            resolve();
          }),
        );
        native.notifySocket(path, "READY=1");
        expect((await listening).stdout).to.equal("bound\nREADY=1\n");
      } finally {
        await rm(directory, { recursive: true });
      }
    });
  }

  it("says what is wrong where nobody listens, and with a name that is none", () => {
    expect(() => {
      native.notifySocket("/nonexistent/socket", "READY=1");
    }).to.throw(/ENOENT/);
    for (const path of ["", "x".repeat(200)]) {
      expect(() => {
        native.notifySocket(path, "READY=1");
      }).to.throw(/ENAMETOOLONG/);
    }
  });
});
