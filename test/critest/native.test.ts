/**
 * Pods without a Box: what the `native` handler gives that no machine can (numbers as in README.md), and that they live as
 * the others do.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { hostname, release, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import {
  ContainerState,
  LinuxContainerResources,
  MountPropagation,
  NamespaceMode,
  PodSandboxState,
  type DeepPartial,
  type NamespaceOption,
} from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import { Daemon, nativeHandler } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { boxProcesses, expectSameMachine, type MachineState } from "../support/machine.js";
import {
  containerStatus,
  createContainer,
  exec,
  exited,
  logLines,
  podStatus,
  removeContainer,
  removePod,
  runPod,
  saidSomething,
  shell,
  startContainer,
  type ContainerConfigPart,
  type Pod,
} from "../support/pods.js";
import { spdyConnect } from "../support/streaming/spdy-client.js";
import { eventually, limit } from "../support/wait.js";

const run = promisify(execFile);
const { CONTAINER, NODE, POD } = NamespaceMode;

const withNamespaces = (namespaceOptions: DeepPartial<NamespaceOption>) => ({
  linux: { securityContext: { namespaceOptions } },
});

describe("the native handler", function () {
  this.timeout(limit(60_000));
  let daemon: Daemon;
  let atStart: MachineState;

  before(async () => {
    const config = `host_namespaces = "native"\n${process.env["A3S_TEST_HANDLER"] === "native" ? "" : nativeHandler}`;
    daemon = await Daemon.start({ images: [await busybox()], config });
    atStart = await daemon.machine();
  });

  after("nothing is left", async () => {
    try {
      await expectSameMachine(daemon.scope, atStart);
    } finally {
      await daemon.remove();
    }
  });

  /** A pod for the time of a test. */
  async function inPod(
    options: DeepPartial<NamespaceOption>,
    work: (pod: Pod) => Promise<void>,
    handler = "native",
  ): Promise<void> {
    const pod = await runPod(daemon, withNamespaces(options), handler);
    try {
      await work(pod);
    } finally {
      await removePod(daemon, pod);
    }
  }

  const start = (pod: Pod, options: DeepPartial<NamespaceOption>, part: ContainerConfigPart = {}): Promise<string> =>
    startContainer(daemon, pod, { ...withNamespaces(options), ...part });

  it("runs a pod on the host's kernel, from its start to nothing left", async () => {
    const before = await daemon.machine();
    await inPod({}, async (pod) => {
      const id = await start(pod, {}, { command: ["sh", "-c", "uname -r; echo oops >&2; exec top >/dev/null"] });
      await saidSomething(daemon, id);
      const { state, logPath } = await containerStatus(daemon, id);
      expect(state).to.equal(ContainerState.CONTAINER_RUNNING);
      const lines = await eventually("both lines are there", 10_000, async () => {
        const all = await logLines(logPath);
        return all.length === 2 ? all : undefined;
      });
      expect(lines.map(({ stream, text }) => `${stream} ${text}`)).to.have.members([
        `stdout ${release()}`,
        "stderr oops",
      ]);
      expect(await exec(daemon, id, ["sh", "-c", "echo here; exit 3"])).to.include({ stdout: "here\n", exitCode: 3 });
      await daemon.cri.call(runtime.stopContainer, { containerId: id, timeout: 10n });
      expect((await containerStatus(daemon, id)).state).to.equal(ContainerState.CONTAINER_EXITED);
      await removeContainer(daemon, id);
    });
    await expectSameMachine(daemon.scope, before);
  });

  it("tells a program that is not there from one that fails", async () => {
    await inPod({}, async (pod) => {
      for (const program of ["no-such-program", "/no/such/program"]) {
        const id = await createContainer(daemon, pod, { command: [program] });
        await failure(
          daemon.cri.call(runtime.startContainer, { containerId: id }),
          status.FAILED_PRECONDITION,
          /not found/,
        );
        expect(await containerStatus(daemon, id)).to.include({ reason: "StartError", exitCode: 128 });
      }
      const id = await startContainer(daemon, pod, { command: ["sh", "-c", "exit 7"] });
      expect((await exited(daemon, id)).exitCode).to.equal(7);
    });
  });

  it("limits memory: a container that takes more is OOMKilled (35)", async () => {
    await inPod({}, async (pod) => {
      const memory = 15n << 20n;
      const linux = { resources: { memoryLimitInBytes: memory, memorySwapLimitInBytes: memory } };
      const command = ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=20M; exit $?"];
      const id = await startContainer(daemon, pod, { command, linux });
      expect(await exited(daemon, id)).to.include({ reason: "OOMKilled", exitCode: 137 });
    });
  });

  it("counts what a pod takes", async () => {
    await inPod({}, async (pod) => {
      const id = await startContainer(daemon, pod, { command: ["sh", "-c", "while true; do true; done"] });
      await eventually("time has been counted", 20_000, async () => {
        const { stats } = await daemon.cri.call(runtime.containerStats, { containerId: id });
        return (stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 50_000_000n ? true : undefined;
      });
      const { stats } = await daemon.cri.call(runtime.podSandboxStats, { podSandboxId: pod.id });
      expect(Number(stats?.linux?.cpu?.usageCoreNanoSeconds?.value)).to.be.greaterThan(50_000_000);
      expect(Number(stats?.linux?.memory?.workingSetBytes?.value)).to.be.greaterThan(100_000);
    });
  });

  it("changes limits in place", async () => {
    await inPod({}, async (pod) => {
      const id = await startContainer(daemon, pod, { linux: { resources: { memoryLimitInBytes: 64n << 20n } } });
      const linux = LinuxContainerResources.fromPartial({ memoryLimitInBytes: 32n << 20n });
      await daemon.cri.call(runtime.updateContainerResources, { containerId: id, linux });
      const { stats } = await daemon.cri.call(runtime.containerStats, { containerId: id });
      const { workingSetBytes, availableBytes } = stats?.memory ?? {};
      expect((workingSetBytes?.value ?? 0n) + (availableBytes?.value ?? 0n)).to.equal(32n << 20n);
    });
  });

  it("shows who asks verbosely the process of a container, on the host", async () => {
    await inPod({}, async (pod) => {
      const containerId = await startContainer(daemon, pod, { command: ["sleep", "4712"] });
      const { info } = await daemon.cri.call(runtime.containerStatus, { containerId, verbose: true });
      const told = JSON.parse(info["info"] ?? "null") as { readonly pid: number; readonly pidOf: string };
      expect(told).to.include({ pidOf: "container" }).and.to.not.have.property("guestPid");
      // while it becomes another program it has no words
      const words = async (): Promise<string> => await readFile(`/proc/${String(told.pid)}/cmdline`, "utf8");
      const said = await eventually("its words", 5_000, async () => (await words()) || undefined);
      expect(said).to.equal(["sleep", "4712", ""].join("\0"));
    });
  });

  it("has an agent whose file no container changes, though an exec of a script for /proc/self/exe runs it in there", async () => {
    // The kernel looks the interpreter up in the agent's child. Who sees that first keeps the file open.
    const catcher = `
      echo $$ > /me
      printf '#!/proc/self/exe serve-unix\n' > /script; chmod +x /script; mkdir /seen
      for p in /proc/[0-9]*; do : > /seen/\${p#/proc/}; done
      echo ready
      while :; do
        for p in /proc/[0-9]*; do
          [ -e /seen/\${p#/proc/} ] && continue
          { command exec 9< $p/exe; } 2>/dev/null || continue
          [ /proc/self/fd/9 -ef /bin/busybox ] && continue
          break 2
        done
      done
      echo caught; exec sleep 1000`;
    await inPod({}, async (pod) => {
      const id = await startContainer(daemon, pod, { command: ["sh", "-c", catcher] });
      const printed = async (): Promise<string> =>
        (await logLines((await containerStatus(daemon, id)).logPath)).map(({ text }) => text).join(" ");
      await eventually("it looks", 10_000, async () => ((await printed()) === "ready" ? true : undefined));
      for (const link of ["/proc/self/exe", "/link"]) {
        await shell(daemon, id, "ln -sf /proc/self/exe /link");
        await exec(daemon, id, [link, "--version"]).then(
          ({ exitCode, stdout }) => expect([exitCode === 0, stdout]).to.deep.equal([false, ""]),
          (thrown: unknown) => expect(String(thrown)).to.match(/\/proc\/self\/exe|\/link/),
        );
      }
      await eventually("the agent's file is caught", 30_000, async () => {
        await exec(daemon, id, ["/script"]).catch(() => undefined);
        return (await printed()).endsWith("caught") ? true : undefined;
      });
      const held = "/proc/$(cat /me)/fd/9";
      expect(await shell(daemon, id, `head -c 4 ${held} | tail -c 3`), "what is held").to.equal("ELF");
      for (const change of [`touch -c ${held}`, `chmod 4755 ${held}`, `chown 7 ${held}`, `exec 8>> ${held}`]) {
        const { exitCode, stderr } = await exec(daemon, id, ["sh", "-c", change]);
        expect([change, exitCode === 0], stderr).to.deep.equal([change, false]);
        expect(stderr, change).to.match(/Read-only file system|Text file busy/);
      }
    });
  });

  describe("namespaces", () => {
    it("pid NODE: sees the processes of the host (42)", async () => {
      await inPod({ pid: NODE }, async (pod) => {
        const id = await start(pod, { pid: NODE });
        expect(await shell(daemon, id, `tr '\\0' ' ' < /proc/${daemon.pid}/cmdline`)).to.contain(" serve ");
      });
    });

    it("pid POD: containers of the pod see each other, and nothing of the host (45)", async () => {
      await inPod({ pid: POD }, async (pod) => {
        const one = await start(pod, { pid: POD }, { command: ["sleep", "1001"] });
        await start(pod, { pid: POD }, { command: ["sleep", "1002"] });
        const commands = await shell(daemon, one, "ps -o args");
        expect(commands).to.contain("sleep 1001").and.to.contain("sleep 1002").and.to.not.contain(" serve ");
        expect(await shell(daemon, one, "tr '\\0' ' ' < /proc/1/cmdline")).to.not.contain("sleep");
      });
    });

    it("pid CONTAINER: is number 1 (46)", async () => {
      await inPod({ pid: CONTAINER }, async (pod) => {
        const id = await start(pod, { pid: CONTAINER }, { command: ["sleep", "1003"] });
        expect(await shell(daemon, id, "tr '\\0' ' ' < /proc/1/cmdline")).to.contain("sleep 1003");
      });
    });

    it("pid TARGET: joins another container's", async () => {
      await inPod({ pid: CONTAINER }, async (pod) => {
        const targetId = await start(pod, { pid: CONTAINER }, { command: ["sleep", "1004"] });
        const id = await start(pod, { pid: NamespaceMode.TARGET, targetId });
        expect(await shell(daemon, id, "tr '\\0' ' ' < /proc/1/cmdline")).to.contain("sleep 1004");
      });
    });

    it("ipc NODE and POD: a segment of the host is there, or is not (43, 44)", async () => {
      const { stdout } = await run("ipcmk", ["-M", "4096"]);
      const segment = /\d+/.exec(stdout)?.[0] ?? "";
      const listed = async (mode: NamespaceMode): Promise<boolean> => {
        let found = false;
        await inPod({ ipc: mode }, async (pod) => {
          const id = await start(pod, { ipc: mode });
          const ids = await shell(daemon, id, "awk 'NR > 1 { print $2 }' /proc/sysvipc/shm");
          found = ids.split("\n").includes(segment);
        });
        return found;
      };
      try {
        expect(await listed(NODE)).to.equal(true);
        expect(await listed(POD)).to.equal(false);
      } finally {
        await run("ipcrm", ["-m", segment]);
      }
    });

    describe("network", () => {
      let server: Server;
      let port: number;

      before(async () => {
        server = createServer((socket) => socket.end("hello from the host\n"));
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        const address = server.address();
        port = typeof address === "object" && address !== null ? address.port : 0;
      });
      after(() => {
        server.close();
      });

      it("NODE and POD: a port of the host is there, or is not (47, 48)", async () => {
        await inPod({ network: NODE }, async (pod) => {
          const id = await start(pod, { network: NODE });
          expect(await shell(daemon, id, "netstat -ltn")).to.contain(`127.0.0.1:${port}`);
          expect(await shell(daemon, id, "hostname")).to.equal(`${hostname()}\n`);
          expect((await podStatus(daemon, pod.id)).network?.ip ?? "").to.equal("");
        });
        await inPod({ network: POD }, async (pod) => {
          expect(await shell(daemon, await start(pod, {}), "netstat -ltn")).to.not.contain(`:${port}`);
        });
      });

      it("NODE: port-forward reaches the host's loopback (34)", async () => {
        await inPod({ network: NODE }, async (pod) => {
          const { url } = await daemon.cri.call(runtime.portForward, { podSandboxId: pod.id, port: [] });
          const client = await spdyConnect(url, ["portforward.k8s.io"]);
          const headers = { port: String(port), requestid: "0" };
          const error = await client.open({ ...headers, streamtype: "error" });
          await error.end();
          const data = await client.open({ ...headers, streamtype: "data" });
          await data.end();
          expect(await data.ending()).to.equal("hello from the host\n");
          client.destroy();
        });
      });
    });

    it("a pod that asks for the host's under another handler gets them here, where the config says so", async () => {
      await inPod(
        { pid: NODE },
        async (pod) => {
          const id = await start(pod, { pid: NODE });
          expect(await shell(daemon, id, "uname -r")).to.equal(`${release()}\n`);
        },
        "",
      );
    });

    it("a container can't have what its sandbox has not", async () => {
      await inPod({}, async (pod) => {
        const created = createContainer(daemon, pod, withNamespaces({ pid: NODE }));
        await failure(created, status.INVALID_ARGUMENT, /pid is NODE, but the sandbox/);
      });
    });

    it("sysctls of the pod's namespaces are set, those of the host refused", async () => {
      const sysctls = { "net.ipv4.ip_unprivileged_port_start": "80", "kernel.shm_rmid_forced": "1" };
      const pod = await runPod(daemon, { linux: { sysctls } }, "native");
      const id = await startContainer(daemon, pod);
      const values = await shell(
        daemon,
        id,
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced",
      );
      expect(values).to.equal("80\n1\n");
      await removePod(daemon, pod);
      for (const [linux, why] of [
        [{ sysctls: { "vm.swappiness": "1" } }, /vm\.swappiness" is one of the whole host/],
        [
          { sysctls: { "net.core.somaxconn": "9" }, ...withNamespaces({ network: NODE }).linux },
          /whose network it has/,
        ],
      ] as const) {
        await failure(runPod(daemon, { linux }, "native"), status.INVALID_ARGUMENT, why);
      }
    });
  });

  describe("mount propagation", () => {
    let directory: string;
    let shared: string;

    /** A mount that is shared whatever the machine's root is. */
    before(async () => {
      directory = await mkdtemp(join(tmpdir(), "a3s-s"));
      shared = join(directory, "shared");
      await mkdir(shared);
      await run("mount", ["-t", "tmpfs", "-o", "size=1m", "shared", shared]);
      await run("mount", ["--make-shared", shared]);
    });
    after(async () => {
      await run("umount", ["-R", "-l", shared]);
      await rm(directory, { recursive: true });
    });

    const cases = [
      ["PRIVATE", MountPropagation.PROPAGATION_PRIVATE, false, false],
      ["HOST_TO_CONTAINER", MountPropagation.PROPAGATION_HOST_TO_CONTAINER, true, false],
      ["BIDIRECTIONAL", MountPropagation.PROPAGATION_BIDIRECTIONAL, true, true],
    ] as const;
    for (const [index, [name, propagation, fromHost, toHost]] of cases.entries()) {
      it(`${name}: a mount of the host is ${fromHost ? "" : "not "}seen inside, one of inside is ${toHost ? "" : "not "}seen on the host (${36 + index})`, async () => {
        const source = join(shared, name);
        await mkdir(join(source, "outer"), { recursive: true });
        await mkdir(join(source, "inner"));
        const securityContext = { privileged: true };
        const pod = await runPod(daemon, { linux: { securityContext } }, "native");
        const mounts = [{ containerPath: "/m", hostPath: source, propagation }];
        const id = await startContainer(daemon, pod, { mounts, linux: { securityContext } });
        await run("mount", ["-t", "tmpfs", "-o", "size=1m", "outer", join(source, "outer")]);
        await shell(daemon, id, "mount -t tmpfs inner /m/inner");
        const inside = await shell(daemon, id, "cat /proc/mounts");
        const outside = await readFile("/proc/mounts", "utf8");
        expect(inside.includes(" /m/outer ")).to.equal(fromHost);
        expect(outside.includes(`${source}/inner `)).to.equal(toHost);
        expect((await containerStatus(daemon, id)).mounts.map((mount) => mount.propagation)).to.deep.equal([
          propagation,
        ]);
        await run("umount", [join(source, "outer")]);
        await removePod(daemon, pod);
      });
    }

    it("is refused on a mount that is not shared, with what to do", async () => {
      const source = join(directory, "private");
      await mkdir(source);
      await run("mount", ["-t", "tmpfs", "-o", "size=1m", "private", source]);
      await run("mount", ["--make-private", source]);
      await inPod({}, async (pod) => {
        const propagation = MountPropagation.PROPAGATION_BIDIRECTIONAL;
        const created = createContainer(daemon, pod, {
          mounts: [{ containerPath: "/m", hostPath: source, propagation }],
        });
        await failure(created, status.INVALID_ARGUMENT, /not shared.*--make-rshared/);
      });
      await run("umount", [source]);
    });
  });

  describe("devices", () => {
    it("of the host are given by path, with what may be done with them", async () => {
      await inPod({}, async (pod) => {
        const devices = [{ hostPath: "/dev/zero", containerPath: "/dev/mine", permissions: "rw" }];
        const id = await startContainer(daemon, pod, { devices });
        expect(await shell(daemon, id, "head -c 3 /dev/mine | wc -c")).to.equal("3\n");
        // kmsg, 1:11, is nobody's
        const denied = await exec(daemon, id, ["sh", "-c", "mknod /tmp/k c 1 11; head -c 1 /tmp/k"]);
        expect(denied.stderr).to.contain("Operation not permitted");
        const created = createContainer(daemon, pod, {
          devices: [{ hostPath: "/dev/no-such-device", containerPath: "/dev/x", permissions: "rw" }],
        });
        await failure(created, status.INVALID_ARGUMENT, /does not exist on the host/);
      });
    });

    it("are all there for a privileged container (53)", async () => {
      const securityContext = { privileged: true };
      const pod = await runPod(daemon, { linux: { securityContext } }, "native");
      const id = await startContainer(daemon, pod, { linux: { securityContext } });
      const names = (await readdir("/dev", { withFileTypes: true }))
        .filter((entry) => entry.isCharacterDevice() || entry.isBlockDevice())
        .map(({ name }) => name)
        .filter((name) => name !== "console");
      const inside = (await shell(daemon, id, "ls /dev")).split("\n");
      expect(inside).to.include.members(names);
      await removePod(daemon, pod);
    });
  });

  it("no_new_privs is the container's, and its root is not nosuid (64)", async () => {
    await inPod({}, async (pod) => {
      const noNewPrivs = async (wanted: boolean): Promise<string> => {
        const id = await startContainer(daemon, pod, { linux: { securityContext: { noNewPrivs: wanted } } });
        const root = await shell(daemon, id, "grep ' / overlay ' /proc/mounts");
        expect(root).to.not.contain("nosuid").and.to.not.contain("nodev");
        return await shell(daemon, id, "grep NoNewPrivs /proc/self/status /proc/1/status");
      };
      expect(await noNewPrivs(true)).to.match(/self\/status:NoNewPrivs:\t1/);
      expect(await noNewPrivs(false)).to.match(/self\/status:NoNewPrivs:\t0/);
    });
  });

  describe("when something dies", () => {
    it("the daemon, by kill -9: the pod runs on and is taken up again", async () => {
      const pod = await runPod(daemon, {}, "native");
      const command = ["sh", "-c", "n=0; while true; do n=$((n+1)); echo line $n; sleep 0.1; done"];
      const id = await startContainer(daemon, pod, { command });
      await saidSomething(daemon, id);
      const { startedAt, logPath } = await containerStatus(daemon, id);
      await daemon.stop("SIGKILL");
      await daemon.launch();
      const again = await eventually("it is taken up", 20_000, async () => {
        const found = await containerStatus(daemon, id);
        return found.state === ContainerState.CONTAINER_RUNNING ? found : undefined;
      });
      expect(again.startedAt).to.equal(startedAt);
      expect((await exec(daemon, id, ["echo", "alive"])).stdout).to.equal("alive\n");
      const seen = (await logLines(logPath)).length;
      await eventually("the log goes on", 20_000, async () =>
        (await logLines(logPath)).length > seen + 3 ? true : undefined,
      );
      const texts = (await logLines(logPath)).map(({ text }) => text);
      expect(texts).to.deep.equal(texts.map((_text, index) => `line ${index + 1}`));
      await removePod(daemon, pod);
    });

    it("the agent: the pod is NOTREADY, its container EXITED, and no process of it is left", async () => {
      const before = await daemon.machine();
      const pod = await runPod(daemon, {}, "native");
      const id = await startContainer(daemon, pod, { command: ["sleep", "1005"] });
      const agents = (await boxProcesses(daemon.scope)).filter(({ name }) => name === "agent");
      expect(agents).to.not.be.empty;
      for (const { pid } of agents) process.kill(pid, "SIGKILL");
      await eventually("it is seen", 10_000, async () => {
        const { state } = await podStatus(daemon, pod.id);
        return state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
      });
      expect(await exited(daemon, id)).to.include({ exitCode: 137, reason: "Error" });
      await removePod(daemon, pod);
      await expectSameMachine(daemon.scope, before);
      expect(await processesWith("sleep\u00001005")).to.deep.equal([]);
    });

    it("the agent while the daemon is away: the next daemon cleans up", async () => {
      const pod = await runPod(daemon, {}, "native");
      const id = await startContainer(daemon, pod, { command: ["sleep", "1006"] });
      const agents = (await boxProcesses(daemon.scope)).filter(({ name }) => name === "agent");
      await daemon.stop("SIGKILL");
      for (const { pid } of agents) process.kill(pid, "SIGKILL");
      await daemon.launch();
      await eventually("it is seen", 20_000, async () => {
        const { state } = await podStatus(daemon, pod.id);
        return state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
      });
      await exited(daemon, id);
      await eventually("its processes are gone", 10_000, async () =>
        (await processesWith("sleep\u00001006")).length === 0 ? true : undefined,
      );
      await removePod(daemon, pod);
    });
  });

  /** Pids of the processes whose command line has this in it. */
  async function processesWith(text: string): Promise<string[]> {
    const found: string[] = [];
    for (const entry of await readdir("/proc")) {
      if (!/^\d+$/.test(entry)) continue;
      const command = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
      if (command.includes(text)) found.push(entry);
    }
    return found;
  }
});
