/** The service as `install` sets it up, with systemd as number 1 (test/support/systemd): what its unit promises. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { PodSandboxConfig, PodSandboxState } from "../../src/gen/runtime/v1/api.js";
import { CriClient, runtime } from "../support/cri-client.js";
import { command } from "../support/daemon.js";
import { busybox, writeArchive } from "../support/images.js";
import { containerConfig } from "../support/pods.js";
import { eventually, limit } from "../support/wait.js";

const run = promisify(execFile);
const unit = "a3s-box.service";
const dropIn = `/etc/systemd/system/${unit}.d`;

describe("the service under systemd", function () {
  this.timeout(limit(90_000));
  let directory: string;
  let cri: CriClient | undefined;

  before("installed, with a handler that needs no machine", async () => {
    if (process.env["A3S_TEST_SYSTEMD"] === undefined) throw new Error("run it by npm run test:systemd");
    directory = await mkdtemp(join(tmpdir(), "a3s-s"));
    await mkdir("/etc/a3s-box", { recursive: true });
    const lines = [`root = "${directory}/root"`, 'driver = "qemu"', 'network = "loopback"'];
    const tables = ['[cgroup]\ndriver = "systemd"', '[handlers.native]\ndriver = "native"'];
    await writeFile("/etc/a3s-box/config.toml", [...lines, ...tables, ""].join("\n"));
    const archive = join(directory, "images.tar");
    await writeArchive(archive, [await busybox()]);
    await succeeds("image", "import", archive);
    await run("systemctl", ["start", "systemd-journald.socket", "systemd-journald.service"]);
    expect(await succeeds("install")).to.contain("systemctl enable --now a3s-box.service");
  });

  after(async () => {
    cri?.close();
    await run("systemctl", ["stop", unit]).catch(() => undefined);
    await rm(directory, { recursive: true, force: true });
  });

  async function succeeds(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await command(args);
    expect(status, stderr + stdout).to.equal(0);
    return stdout;
  }

  async function shown(property: string, of = unit): Promise<string> {
    return (await run("systemctl", ["show", "--value", "-p", property, of])).stdout.trim();
  }

  /** A fresh connection to the daemon that runs now. */
  async function connected(): Promise<CriClient> {
    cri?.close();
    cri = new CriClient("/run/a3s-box/cri.sock");
    await cri.ready(limit(30_000));
    return cri;
  }

  async function runPod(handler: string): Promise<{ id: string; container: string }> {
    const client = await connected();
    const config = PodSandboxConfig.fromPartial({
      metadata: { name: "p", uid: `uid-${handler}`, namespace: "test" },
      linux: { cgroupParent: "kubepods-besteffort-podservice.slice" },
    });
    const { podSandboxId } = await client.call(runtime.runPodSandbox, { config, runtimeHandler: handler });
    const { containerId } = await client.call(runtime.createContainer, {
      podSandboxId,
      config: containerConfig({ logPath: "" }),
      sandboxConfig: config,
    });
    await client.call(runtime.startContainer, { containerId });
    return { id: podSandboxId, container: containerId };
  }

  async function says(container: string, line: string): Promise<string> {
    const cmd = ["sh", "-c", line];
    const done = await (await connected()).call(runtime.execSync, { containerId: container, cmd, timeout: 30n });
    return done.stdout.toString() + done.stderr.toString();
  }

  async function isReady(id: string): Promise<boolean> {
    const { status } = await (await connected()).call(runtime.podSandboxStatus, { podSandboxId: id });
    return status?.state === PodSandboxState.SANDBOX_READY;
  }

  it("has started when it says so, and its words are in the journal", async () => {
    await run("systemctl", ["enable", "--now", unit]);
    expect(await shown("ActiveState")).to.equal("active");
    await (await connected()).call(runtime.version, {}); // no start is waited for
    await eventually("the journal has what it says", 10_000, async () => {
      const { stdout } = await run("journalctl", ["--unit", unit, "--output=cat"]);
      return stdout.includes('"msg":"serving"') ? true : undefined;
    });
  });

  it("runs pods under its hardening: on the host, and in a microVM", async () => {
    for (const handler of ["native", ""]) {
      const { id, container } = await runPod(handler);
      expect(await says(container, "echo in")).to.equal("in\n");
      const client = await connected();
      await client.call(runtime.stopPodSandbox, { podSandboxId: id });
      await client.call(runtime.removePodSandbox, { podSandboxId: id });
    }
  });

  it("lets pods be when it is restarted, hangs, or is taken away", async () => {
    const { id, container } = await runPod("native");
    const first = await says(container, "cat /proc/1/stat");

    await run("systemctl", ["restart", unit]);
    expect(await isReady(id)).to.equal(true);
    expect(await says(container, "cat /proc/1/stat | cut -d' ' -f1,22")).to.equal(identity(first));

    await mkdir(dropIn, { recursive: true });
    await writeFile(join(dropIn, "short.conf"), "[Service]\nWatchdogSec=3\nTimeoutAbortSec=2\n");
    await run("systemctl", ["daemon-reload"]);
    await run("systemctl", ["restart", unit]);
    const hanging = await shown("MainPID");
    process.kill(Number(hanging), "SIGSTOP");
    await eventually("the watchdog has it started anew", 40_000, async () => {
      const now = await shown("MainPID");
      return now !== hanging && now !== "0" && (await shown("ActiveState")) === "active" ? true : undefined;
    });
    expect(await isReady(id)).to.equal(true);
    expect(await says(container, "cat /proc/1/stat | cut -d' ' -f1,22")).to.equal(identity(first));

    const group = await shown("ControlGroup", `a3s-box-${id}.scope`);
    expect(await succeeds("uninstall")).to.contain("running pods are as they were");
    expect(await shown("LoadState")).to.equal("not-found");
    const left = await readFile(join("/sys/fs/cgroup", group, container, "cgroup.procs"), "utf8");
    expect(left.trim().split("\n")).to.have.lengthOf(1);
  });
});

/** Pid and start time of proc_pid_stat(5), as a program's line. */
function identity(stat: string): string {
  const words = stat.split(" ");
  return `${words[0] ?? ""} ${words[21] ?? ""}\n`;
}
