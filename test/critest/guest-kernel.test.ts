/**
 * The guest's kernel of our own (guest/kernel, docs/adr/0130): what it has not got, whoever asks; what programs of a node find in
 * it. With the kernel of the package these are skipped, but for what the agent sets in either.
 */
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { expect } from "chai";
import { kernelFragment, lostOptions, parseKernelConfig } from "../../scripts/setup/kernel-config.js";
import { runtime } from "../support/cri-client.js";
import { driver, type Daemon } from "../support/daemon.js";
import { builtConfig, buildTools, programsOfTheMachine } from "../support/guest-kernel/kernel.js";
import { exec, runPod, shell, startContainer, type Pod } from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";

/** Ways to the machine past its kernel, and what only hardware would want. */
const closed = [
  ...["DEVMEM", "DEVPORT", "PROC_KCORE", "KEXEC", "KEXEC_FILE", "MODULES", "X86_IOPL_IOPERM", "X86_MSR", "UIO", "VFIO"],
  ...["PCI", "ACPI", "USB_SUPPORT", "USB", "DRM", "SOUND", "INPUT", "KVM", "SECURITY_SELINUX", "CRYPTO_USER_API_HASH"],
];
const absent = [
  ...["/dev/mem", "/dev/port", "/dev/kmem", "/dev/cpu", "/proc/kcore", "/proc/modules", "/proc/bus/pci"],
  ...["/sys/bus/pci", "/sys/bus/usb", "/sys/firmware/acpi", "/sys/kernel/kexec_loaded", "/sys/kernel/uevent_helper"],
];

describe("The guest's kernel", () => {
  let daemon: Daemon;
  let pod: Pod;
  let id: string;
  let volume: string;
  let config: string | undefined;
  before(async function () {
    this.timeout(limit(60_000));
    daemon = await sharedDaemon();
    config = await builtConfig();
    volume = await mkdtemp(join(daemon.base, "volume"));
    await chmod(volume, 0o755);
    await buildTools(volume);
  });
  after(async () => {
    await rm(volume, { recursive: true, force: true });
  });
  sharedPod(
    () => daemon,
    async () => {
      const resources = { memoryLimitInBytes: 512n << 20n };
      const security = { privileged: true };
      pod = await runPod(daemon, { linux: { resources, securityContext: security } });
      const mounts = [...programsOfTheMachine, { hostPath: volume, containerPath: "/volume" }];
      const command = ["sleep", "36000"];
      id = await startContainer(daemon, pod, { command, mounts, linux: { securityContext: security } });
      return pod;
    },
  );

  const ours = (test: Mocha.Context): string =>
    config ?? skipBecause(test, "Boxes have the kernel of the package here: A3S_KERNEL=own npm run setup -- test");
  const inBox = (line: string): Promise<string> => shell(daemon, id, line);
  /** Fails with what the line has written, wherever. */
  const works = async (lines: readonly string[]): Promise<void> => {
    const done = await exec(daemon, id, ["sh", "-c", `exec 2>&1; set -ex; ${lines.join("\n")}`], 60);
    if (done.exitCode !== 0) throw new Error(`ended with ${done.exitCode}:\n${done.stdout}`);
  };

  it("has no file, device or option by which root of a privileged container gets past it", async function () {
    const built = ours(this);
    const { stdout } = await daemon.cri.call(runtime.execSync, {
      containerId: id,
      cmd: ["cat", "/proc/config.gz"],
      timeout: 30n,
    });
    const running = gunzipSync(stdout).toString();
    expect(running).to.equal(built);
    const options = parseKernelConfig(running, "/proc/config.gz");
    expect(closed.filter((name) => (options.get(name) ?? "n") !== "n")).to.deep.equal([]);
    expect(
      lostOptions((await kernelFragment(join(projectDirectory, "guest/kernel/config"))).options, options),
    ).to.deep.equal([]);
    expect(await inBox(`for f in ${absent.join(" ")}; do if [ -e $f ]; then echo $f; fi; done`)).to.equal("");
    const locked = "mkdir -p /tmp/security && mount -t securityfs none /tmp/security && cat /tmp/security/lockdown";
    expect(await inBox(locked)).to.equal("none [integrity] confidentiality\n");
    expect(await inBox("cat /tmp/security/lsm; umount /tmp/security"))
      .to.match(/landlock/)
      .and.to.match(/yama/)
      .and.to.match(/apparmor/);
  });

  it("takes the rules of Docker, netavark and kube-proxy, by nft and by the legacy tables, for both families", async function () {
    ours(this);
    this.timeout(limit(240_000)); // 56 programs, emulated
    for (const [program, net, address] of [
      ["iptables-nft", "172.30.0.0/16", "172.30.0.2:80"],
      ["iptables-legacy", "172.31.0.0/16", "172.31.0.2:80"],
      ["ip6tables-nft", "fd00:30::/64", "[fd00:30::2]:80"],
      ["ip6tables-legacy", "fd00:31::/64", "[fd00:31::2]:80"],
    ] as const) {
      const tables = `/usr/sbin/${program} -w`;
      await works([
        "mkdir -p /run",
        `${tables} -t nat -N A3S`,
        `${tables} -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j A3S`,
        `${tables} -t nat -A POSTROUTING -s ${net} ! -o br9 -m comment --comment 'a pod' -j MASQUERADE --random-fully`,
        `${tables} -t nat -A A3S ! -i br9 -p tcp -m tcp --dport 8080 -j DNAT --to-destination ${address}`,
        `${tables} -t nat -A OUTPUT -p tcp -m multiport --dports 81,82 -j REDIRECT --to-ports 8080`,
        `${tables} -t nat -A A3S -m statistic --mode random --probability 0.5 -j RETURN`,
        `${tables} -t nat -A A3S -j MARK --or-mark 0x4000`,
        `${tables} -A FORWARD -o br9 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
        `${tables} -A FORWARD -m mark --mark 0x4000/0x4000 -m physdev --physdev-is-bridged -j ACCEPT`,
        `${tables} -A INPUT -p udp -m limit --limit 5/sec -m recent --name a3s --set -j LOG --log-prefix a3s`,
        `${tables} -A OUTPUT -p tcp -m owner --uid-owner 1000 -j REJECT`,
        `${tables} -t mangle -A PREROUTING -m conntrack --ctstate INVALID -j CONNMARK --save-mark`,
        `${tables} -t raw -A PREROUTING -p tcp --dport 9 -j CT --notrack`,
      ]);
      const rules = await inBox(`${tables} -t nat -S 2>/dev/null`);
      expect(rules, program).to.include("MASQUERADE").and.to.include("DNAT").and.to.include("REDIRECT");
    }
  });

  it("makes the links and queues that container networks and VPNs are of", async function () {
    ours(this);
    const ip = "/usr/bin/ip"; // in /bin there is busybox's
    const tc = "/usr/sbin/tc";
    await works([
      `${ip} link add d9 type dummy`,
      `${ip} link set d9 up`,
      `${ip} link add br9 type bridge`,
      `${ip} link add v9 type veth peer name w9`,
      `${ip} link set w9 master br9`,
      `${ip} link add link d9 name d9.7 type vlan id 7`,
      `${ip} link add link d9 name m9 type macvlan mode bridge`,
      `${ip} link add x9 type vxlan id 9 dev d9 dstport 4789`,
      `${ip} link add wg9 type wireguard`,
      `${ip} link add g9 type geneve id 9 remote 192.0.2.1`,
      `${ip} link add i9 type ifb`,
      `${ip} link add r9 type vrf table 9`,
      `${ip} tuntap add t9 mode tap`,
      `${ip} link add d8 type dummy`,
      `${ip} link add link d8 name p8 type ipvlan mode l2`,
      `${tc} qdisc add dev d9 root handle 1: tbf rate 1mbit burst 32kbit latency 400ms`,
      `${tc} qdisc add dev v9 root netem delay 10ms loss 1%`,
      `${tc} qdisc add dev w9 root fq`,
      `${tc} qdisc add dev d8 root handle 1: htb default 1`,
      `${tc} class add dev d8 parent 1: classid 1:1 htb rate 1mbit`,
      `${tc} qdisc add dev d8 ingress`,
      `${tc} filter add dev d8 parent ffff: protocol ip u32 match u32 0 0 action mirred egress redirect dev i9`,
    ]);
    await works(["d9", "br9", "v9", "d8", "wg9", "g9", "i9", "r9", "t9"].map((name) => `${ip} link del ${name}`));
  });

  it("has no interface but its own, unless one is made", async function () {
    ours(this);
    expect(await inBox("ls /sys/class/net")).to.match(/^(eth0\n)?lo\n$/);
  });

  it("lets programs shut themselves in, by Landlock", async function () {
    ours(this);
    await inBox("mkdir -p /tmp/in && echo x > /tmp/in/file");
    expect(await inBox("/volume/tool landlock /tmp/in")).to.equal("inside: opened; outside: Permission denied\n");
  });

  it("runs programs of 32 bits", async function () {
    ours(this);
    expect(await inBox("/volume/thirty-two-bits")).to.equal("32 bits\n");
  });

  it("keeps ACLs, on a container's root, a volume and a tmpfs, and the host sees the volume's", async function () {
    ours(this);
    if (driver === "krun") skipBecause(this, "libkrun's file server has no ACLs");
    await inBox("mkdir -p /dev/shm /kept && chmod 755 /kept");
    await mkdir(join(volume, "kept"), { recursive: true });
    for (const directory of ["/kept", "/volume/kept", "/dev/shm"]) {
      const file = `${directory}/secret`;
      await inBox(`echo x > ${file} && chmod 600 ${file}`);
      expect(await inBox(`/volume/tool read ${file} 1000`), file).to.equal("1000: Permission denied\n");
      expect(await inBox(`/volume/tool acl ${file} 1000`), file).to.equal("acl: set\n");
      expect(await inBox(`/volume/tool read ${file} 1000`), file).to.equal("1000: opened\n");
      expect(await inBox(`/volume/tool read ${file} 1001`), file).to.equal("1001: Permission denied\n");
    }
    const names = await promisify(execFile)("getfattr", ["--absolute-names", "-m", "-", join(volume, "kept/secret")]);
    expect(names.stdout).to.include("system.posix_acl_access");
  });

  it("has message queues, MPTCP, pressure figures and the file systems that a node's programs mount", async function () {
    ours(this);
    expect(await inBox("/volume/tool mqueue; /volume/tool mptcp")).to.equal("mqueue: ok\nmptcp: ok\n");
    expect(await inBox("cat /proc/pressure/cpu /sys/fs/cgroup/memory.pressure")).to.match(/some avg10=/);
    const known = (await inBox("cat /proc/filesystems")).split(/\s+/);
    expect(known).to.include.members(["squashfs", "erofs", "overlay", "ext4", "vfat", "autofs", "tracefs", "bpf"]);
  });

  it("can be looked into by tracefs and by probes", async function () {
    ours(this);
    const trace = "/tmp/trace";
    await inBox(`mkdir -p ${trace} && mount -t tracefs none ${trace}`);
    try {
      await inBox(`echo 'p:a3s vfs_open' > ${trace}/kprobe_events`);
      await inBox(`echo 1 > ${trace}/events/kprobes/a3s/enable; cat /etc/passwd > /dev/null`);
      await inBox(`echo 0 > ${trace}/events/kprobes/a3s/enable`);
      expect(await inBox(`cat ${trace}/trace`)).to.match(/a3s: \(vfs_open/);
      // names of enumerations are numbers there, by which tools read an event
      const dropped = await inBox(`cat ${trace}/events/skb/kfree_skb/format`);
      expect(dropped).to.contain('{ 2, "NOT_SPECIFIED" }').and.to.not.contain("SKB_DROP_REASON_");
    } finally {
      await inBox(`echo > ${trace}/kprobe_events; umount ${trace}`);
    }
  });

  it("is set as kubelet and systemd set a node's", async () => {
    const settings = {
      "vm/overcommit_memory": "1",
      "vm/panic_on_oom": "0",
      "kernel/panic_on_oops": "1",
      "kernel/keys/root_maxkeys": "1000000",
      "kernel/keys/root_maxbytes": "25000000",
      "fs/inotify/max_user_watches": "524288",
      // The package's kernel takes no more.
      "kernel/pid_max": config === undefined ? "32768" : "4194304",
    };
    const files = Object.keys(settings).map((name) => `/proc/sys/${name}`);
    const values = (await inBox(`cat ${files.join(" ")}`)).trim().split("\n");
    expect(Object.fromEntries(Object.keys(settings).map((name, index) => [name, values[index]]))).to.deep.equal(
      settings,
    );
  });
});
