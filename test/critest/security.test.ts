import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import {
  ContainerState,
  NamespaceMode,
  SecurityProfile_ProfileType,
  SupplementalGroupsPolicy,
} from "../../src/gen/runtime/v1/api.js";
import { failure, status } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import {
  containerStatus,
  createContainer,
  exec,
  exited,
  removeContainer,
  runPod,
  runToEnd,
  shell,
  startContainer,
  type ContainerConfigPart,
  type Pod,
} from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";

type SecurityPart = NonNullable<NonNullable<ContainerConfigPart["linux"]>["securityContext"]>;

describe("Container security context", () => {
  let daemon: Daemon;
  let pod: Pod;
  before(async () => {
    daemon = await sharedDaemon();
  });
  sharedPod(
    () => daemon,
    async () => {
      // kubelet makes a pod's sandbox privileged when one of its containers is.
      const resources = { memoryLimitInBytes: 512n << 20n };
      pod = await runPod(daemon, { linux: { resources, securityContext: { privileged: true } } });
      return pod;
    },
  );

  const output = (line: string, securityContext: SecurityPart): Promise<string> =>
    runToEnd(daemon, pod, line, { linux: { securityContext } });
  const running = (securityContext: SecurityPart): Promise<string> =>
    startContainer(daemon, pod, { linux: { securityContext } });

  it("sets the user by number and by name, with the group of the image's passwd", async () => {
    expect(await output("id -u; id -g", { runAsUser: { value: 1001n } })).to.equal("1001\n0\n");
    expect(await output("id -un; id -gn", { runAsUsername: "user" })).to.equal("user\nuser\n");
    expect(await output("id -u; id -g", { runAsUser: { value: 1001n }, runAsGroup: { value: 1002n } })).to.equal(
      "1001\n1002\n",
    );
  });

  it("lets a user that is not root open its own output by name, as web servers do with their logs", async () => {
    const line = "echo named > /dev/stdout && echo error > /dev/stderr && echo $?";
    const who = { runAsUser: { value: 1001n }, runAsGroup: { value: 1002n } };
    expect(await output(line, who)).to.equal("named\n0\n");
    const id = await running(who);
    expect(await exec(daemon, id, ["sh", "-c", line])).to.deep.include({ stdout: "named\n0\n", stderr: "error\n" });
    await removeContainer(daemon, id);
  });

  it("adds supplemental groups", async () => {
    const groups = await output("id -G", { supplementalGroups: [1234n, 5678n] });
    expect(groups.trim().split(" ")).to.include.members(["1234", "5678"]);
  });

  it("merges the groups that the image has the user in, and leaves them out under Strict", async () => {
    const groups = async (policy: SupplementalGroupsPolicy): Promise<unknown> => {
      const id = await running({
        runAsUser: { value: 1000n },
        supplementalGroups: [1234n],
        supplementalGroupsPolicy: policy,
      });
      const inside = (await shell(daemon, id, "id -G")).trim().split(" ").map(Number);
      const told = (await containerStatus(daemon, id)).user?.linux?.supplementalGroups.map(Number) ?? [];
      await removeContainer(daemon, id);
      return { inside: inside.sort(), told: told.sort() };
    };
    const { Merge, Strict } = SupplementalGroupsPolicy;
    expect(await groups(Merge)).to.deep.equal({ inside: [1000, 1234, 50000], told: [1000, 1234, 50000] });
    expect(await groups(Strict)).to.deep.equal({ inside: [1000, 1234], told: [1000, 1234] });
  });

  it("gives an exec the user, groups and capabilities of the container", async () => {
    const id = await running({
      runAsUser: { value: 1001n },
      supplementalGroups: [1234n],
      capabilities: { dropCapabilities: ["ALL"] },
    });
    const line = "id -u; id -G; grep CapBnd /proc/self/status";
    expect(await shell(daemon, id, line)).to.match(/^1001\n(.* )?1234( .*)?\nCapBnd:\t0+\n$/);
    await removeContainer(daemon, id);
  });

  it("makes the root file system read-only when asked to", async () => {
    expect(await output("touch /test.go 2>&1; ls /test.go", {})).to.equal("/test.go\n");
    expect(await output("touch /test.go 2>&1", { readonlyRootfs: true })).to.equal(
      "touch: /test.go: Read-only file system\n",
    );
  });

  it("leaves a privileged container with every capability, and takes all away when asked to", async () => {
    const capabilities = async (part: SecurityPart): Promise<bigint> =>
      BigInt(`0x${/CapBnd:\s+([0-9a-f]+)/.exec(await output("cat /proc/self/status", part))?.[1] ?? ""}`);
    const [usual, all, none, privileged] = [
      await capabilities({}),
      await capabilities({ capabilities: { addCapabilities: ["ALL"] } }),
      await capabilities({ capabilities: { dropCapabilities: ["ALL"] } }),
      await capabilities({ privileged: true }),
    ];
    expect(usual).to.equal(0xa80425fbn); // containerd's default set of 14
    expect(none).to.equal(0n);
    expect(all).to.equal(privileged);
    expect(all).to.not.equal(usual);
  });

  it("drops one capability: without NET_RAW no ping", async () => {
    const id = await running({ capabilities: { dropCapabilities: ["NET_RAW"] } });
    const done = await exec(daemon, id, ["ping", "-c", "1", "127.0.0.1"]);
    expect(done.exitCode).to.not.equal(0);
    expect(done.stderr).to.match(/permission denied/);
    await removeContainer(daemon, id);
  });

  it("hides masked paths and protects read-only ones", async () => {
    const id = await running({ maskedPaths: ["/bin/ls", "/no/such/path"], readonlyPaths: ["/tmp"] });
    expect((await exec(daemon, id, ["sh", "-c", "/bin/ls"])).stderr).to.match(/ls: Permission denied|not permitted/);
    expect((await exec(daemon, id, ["touch", "/tmp/test"])).stderr).to.match(/Read-only file system/);
    await removeContainer(daemon, id);
  });

  it("has no seccomp filter unless one is asked for, and the default one when it is", async () => {
    const line = "grep ^Seccomp: /proc/self/status";
    const { RuntimeDefault, Unconfined } = SecurityProfile_ProfileType;
    expect(await output(line, {})).to.equal("Seccomp:\t0\n");
    expect(await output(line, { seccomp: { profileType: Unconfined } })).to.equal("Seccomp:\t0\n");
    expect(await output(line, { seccomp: { profileType: RuntimeDefault } })).to.equal("Seccomp:\t2\n");
  });

  it("has a seccomp profile of the node, also with SYS_ADMIN; a privileged container has none", async () => {
    const profile = join(daemon.logs, "no-hostname.json");
    const syscalls = [{ names: ["sethostname"], action: "SCMP_ACT_ERRNO" }];
    await writeFile(profile, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls }));
    const seccomp = { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: profile };
    const line = "hostname renamed 2>&1; hostname; grep ^Seccomp: /proc/self/status";
    const capabilities = { addCapabilities: ["SYS_ADMIN"] };
    const before = (await output("hostname", {})).trim();
    const refused = `hostname: sethostname: Operation not permitted\n${before}\nSeccomp:\t2\n`;
    expect(await output(line, { seccomp })).to.equal(refused);
    expect(await output(line, { seccomp, capabilities })).to.equal(refused);
    expect(await output(line, { seccomp, privileged: true })).to.equal("renamed\nSeccomp:\t0\n");
    await output(`hostname ${before}`, { privileged: true });
    const missing = { ...seccomp, localhostRef: join(daemon.logs, "no-such.json") };
    await failure(
      running({ seccomp: missing }),
      status.INVALID_ARGUMENT,
      /seccomp profile .*no-such.json.*put the prof/,
    );
  });

  it("sets no_new_privs when asked to", async () => {
    const line = "grep ^NoNewPrivs: /proc/self/status";
    expect(await output(line, { noNewPrivs: true })).to.equal("NoNewPrivs:\t1\n");
    expect(await output(line, { noNewPrivs: false })).to.equal("NoNewPrivs:\t0\n");
  });

  it("keeps process namespaces apart, or shares the pod's", async () => {
    const own = await running({ namespaceOptions: { pid: NamespaceMode.CONTAINER } });
    expect(await shell(daemon, own, "cat /proc/1/cmdline | tr '\\000' ' '")).to.equal("top ");
    await removeContainer(daemon, own);
    const [one, two] = [
      await running({ namespaceOptions: { pid: NamespaceMode.POD } }),
      await startContainer(daemon, pod, {
        command: ["sleep", "4326"],
        linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } },
      }),
    ];
    expect(await shell(daemon, one, "cat /proc/1/cmdline | tr '\\000' ' '")).to.not.match(/^top/);
    expect(await shell(daemon, one, "pidof sleep >/dev/null && echo seen")).to.equal("seen\n");
    await Promise.all([removeContainer(daemon, one), removeContainer(daemon, two)]);
  });

  it("has the standard devices, and no device of the host can be given to it", async () => {
    const usual = await output("ls /dev | tr '\\n' ' '", {});
    expect(usual).to.equal("core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ");
    const device = { hostPath: "/dev/sda", containerPath: "/dev/mine", permissions: "rwm" };
    const asked = createContainer(daemon, pod, { devices: [device] });
    await failure(asked, status.INVALID_ARGUMENT, /device \/dev\/sda of the host.*RuntimeClass.*\/dev\/fuse/);
  });

  it("has the guest's devices that it asks for by path, with the access that it asks for", async () => {
    const device = (hostPath: string, containerPath: string, permissions: string) => ({
      ...{ hostPath, containerPath, permissions },
    });
    const line =
      "ls -l /dev/mine /dev/fuse | cut -c1-3; head -c 3 /dev/mine | wc -c; (echo x >/dev/fuse) 2>&1 | grep -c 'not permitted'";
    const given = {
      linux: {},
      devices: [device("/dev/zero", "/dev/mine", "rw"), device("/dev/fuse", "/dev/fuse", "r")],
    };
    expect(await runToEnd(daemon, pod, line, given)).to.equal("crw\ncrw\n3\n1\n");
    const reading = { linux: {}, devices: [device("/dev/fuse", "/dev/fuse", "rwm")] };
    expect(await runToEnd(daemon, pod, "exec 3<>/dev/fuse && echo opened", reading)).to.equal("opened\n");
    // the guest's rule, not the node, is in the way without it
    const made = "mknod /dev/fuse c 10 229 && (exec 3<>/dev/fuse) 2>&1 | grep -c 'not permitted'";
    expect(await runToEnd(daemon, pod, made)).to.equal("1\n");
  });

  it("has all of the guest's devices when it is privileged, but not the agent's way to the host", async () => {
    const listed = (await output("ls /dev", { privileged: true })).split("\n");
    expect(listed).to.include.members(["fuse", "kmsg", "null"]);
    expect(listed.filter((name) => /^(vport|hvc)/.test(name))).to.deep.equal([]);
    expect(await output("head -c 1 /dev/kmsg >/dev/null && echo read", { privileged: true })).to.equal("read\n");
  });

  it("refuses SELinux labels, which the guest has nothing for, with the way out", async () => {
    const labelled = { selinuxOptions: { user: "", role: "", type: "spc_t", level: "" } };
    await failure(running(labelled), status.INVALID_ARGUMENT, /SELinux labels are not supported.*leave seLinuxOptions/);
  });

  it("limits memory, and reports OOMKilled with 137 when the limit was hit", async () => {
    const resources = { memoryLimitInBytes: 15n << 20n, memorySwapLimitInBytes: 15n << 20n };
    const id = await startContainer(daemon, pod, {
      command: ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=20M"],
      linux: { resources },
    });
    const found = await exited(daemon, id);
    expect([found.reason, found.exitCode]).to.deep.equal(["OOMKilled", 137]);
    await removeContainer(daemon, id);
  });

  it("limits CPU as the config says, and reports the limits", async () => {
    const resources = { cpuQuota: 20_000n, cpuPeriod: 100_000n, cpuShares: 512n, memoryLimitInBytes: 64n << 20n };
    const id = await startContainer(daemon, pod, { linux: { resources } });
    const found = await containerStatus(daemon, id);
    expect(found.state).to.equal(ContainerState.CONTAINER_RUNNING);
    expect(found.resources?.linux?.cpuQuota).to.equal(20_000n);
    expect(found.resources?.linux?.memoryLimitInBytes).to.equal(64n << 20n);
    await removeContainer(daemon, id);
  });
});
