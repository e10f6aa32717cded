/** The distribution's plugins in namespaces, without a VM: what they make there, and that nothing of it is left. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { expect } from "chai";
import { messageOf } from "../../src/base/errors.js";
import { newBoxId } from "../../src/base/ids.js";
import { createLogger } from "../../src/base/log.js";
import { configOf } from "../../src/config/load.js";
import { attachmentAddresses, type Attachment } from "../../src/net/attachment.js";
import { joinTap, tapName } from "../../src/net/guest-link.js";
import { Networks, type Place } from "../../src/net/networks.js";
import { loadNative } from "../../src/native/addon.js";
import { procStat } from "../../src/base/proc-stat.js";
import { canDie, DeadMount } from "../support/faults/dead-mount.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { eventually } from "../support/wait.js";

const never = new AbortController().signal;
const { native } = loadNative(join(projectDirectory, "build/assets"));
/** Killed and failed starts; `A3S_TEST_STARTS=200` for the long proof. */
const starts = Number(process.env["A3S_TEST_STARTS"] ?? "10");

async function run(program: string, ...args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(program, [...args], { timeout: 10_000 })).stdout;
}

/** Rules of the table `nat` with this word; ids and names of chains are hexadecimal and may have any digits within. */
async function rulesThatName(word: string): Promise<string[]> {
  const lines = (await run("iptables-save", "-t", "nat")).split("\n");
  return lines.filter((line) => line.startsWith("-A ") && new RegExp(`\\b${word}\\b`).test(line));
}

/** One for each subnet: a bridge keeps the gateway's address that it has. */
function bridgeName(subnet: string): string {
  return `br-test${subnet.split(".")[1] ?? ""}`;
}

describe("CNI plugins of the distribution", function () {
  let directory: string;
  let networks: Networks;

  before(async () => {
    const links = (await readdir("/sys/class/net")).filter((name) => name !== "bonding_masters");
    if ((await run("ip", "-o", "link")).trim().split("\n").length !== 1) {
      throw new Error(`this is a namespace in use (${links.join(", ")}): run it by npm run test:net`);
    }
    await run("ip", "link", "set", "lo", "up");
    await run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire-end");
    for (const name of ["wire", "wire-end"]) await run("ip", "link", "set", name, "up");
  });

  // What failed is tried once more in the same namespace.
  after(async () => {
    const links = (await run("ip", "-o", "link")).matchAll(/^\d+: ([^:@]+)/gm);
    for (const [, name = "lo"] of links) if (name !== "lo") await run("ip", "link", "del", name).catch(() => ""); // a peer
    for (const program of ["iptables", "ip6tables"]) {
      for (const table of ["nat", "filter"]) {
        await run(program, "-t", table, "-F");
        await run(program, "-t", table, "-X");
      }
    }
  });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-c"));
    for (const name of ["net.d", "bin", "ns"]) await mkdir(join(directory, name));
    const given = (value: unknown): { value: unknown; from: string } => ({ value, from: "the test" });
    const config = configOf(
      new Map([
        ["cni.conf_dir", given(join(directory, "net.d"))],
        ["cni.bin_dirs", given([join(directory, "bin"), "/usr/lib/cni"])],
        ["cni.plugin_timeout_ms", given(5_000)],
        ["cni.gc", given(true)],
      ]),
    );
    networks = new Networks(config.cni, createLogger("error"));
  });

  afterEach(async () => {
    for (const name of await readdir(join(directory, "ns"))) await native.removeNetns(join(directory, "ns", name));
    await rm(directory, { recursive: true });
  });

  const configure = async (plugins: readonly object[], cniVersion = "1.0.0"): Promise<void> => {
    const version = cniVersion === "" ? {} : { cniVersion };
    await writeFile(join(directory, "net.d/1.conflist"), JSON.stringify({ ...version, name: "net", plugins }));
  };
  const hostLocal = (...ranges: string[]): object => ({
    type: "host-local",
    dataDir: join(directory, "ipam"),
    ranges: ranges.map((subnet) => [{ subnet }]),
    routes: [{ dst: "0.0.0.0/0" }],
  });
  const bridge = (...ranges: string[]): object => ({
    ...{ type: "bridge", bridge: bridgeName(ranges[0] ?? ""), isGateway: true, ipMasq: true, hairpinMode: true },
    ipam: hostLocal(...ranges),
  });
  const reserved = async (): Promise<string[]> =>
    (await readdir(join(directory, "ipam/net")).catch(() => [])).filter((name) => /^[0-9a-f]+[.:]/.test(name));
  /** A plugin of a few shell lines, which then answers like the one before it. */
  const double = async (name: string, lines: string): Promise<void> => {
    await writeFile(join(directory, "bin", name), `#!/bin/sh\ncat > /dev/null\n${lines}\n`, { mode: 0o755 });
  };

  interface Tenant {
    readonly place: Place;
    attachment: Attachment;
  }
  const tenant = async (capabilities: Record<string, unknown> = {}): Promise<Tenant> => {
    const containerId = newBoxId();
    const netnsPath = join(directory, "ns", containerId.slice(0, 12));
    await native.createNetns(netnsPath);
    await native.createTap(netnsPath, tapName);
    return { place: { containerId, netnsPath }, attachment: await networks.plan({ args: {}, capabilities }) };
  };
  const attach = async (one: Tenant, signal = never): Promise<void> => {
    const keep = (attachment: Attachment): Promise<void> => {
      one.attachment = attachment;
      return Promise.resolve();
    };
    await networks.attach(one.place, one.attachment, keep, signal);
  };
  const detach = async (one: Tenant): Promise<void> => {
    await networks.detach(one.place, one.attachment, never);
  };
  const failureOf = async (work: Promise<unknown>): Promise<string> =>
    await work.then(() => "it did not fail", messageOf);

  const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
  const bandwidth = { ingressRate: 1e7, ingressBurst: 1e6, egressRate: 1e7, egressBurst: 1e6 };
  const chains: [string, () => object[]][] = [
    ["bridge, IPv4 and IPv6", () => [bridge("10.81.0.0/24", "fd81::/64")]],
    [
      "bridge, portmap, firewall, bandwidth, tuning",
      () => [
        bridge("10.82.0.0/24"),
        { type: "portmap", capabilities: { portMappings: true } },
        { type: "firewall" },
        { type: "bandwidth", capabilities: { bandwidth: true } },
        { type: "tuning", mtu: 1400, mac: "0a:00:00:00:00:05" },
      ],
    ],
    ["ptp", () => [{ type: "ptp", ipMasq: true, ipam: hostLocal("10.83.0.0/24") }]],
    ["macvlan", () => [{ type: "macvlan", master: "wire", ipam: hostLocal("10.84.0.0/24") }]],
    ["loopback beside bridge", () => [bridge("10.85.0.0/24"), { type: "loopback" }]],
  ];
  for (const [name, plugins] of chains) {
    it(`joins the sandbox by ${name}, passes CHECK, and leaves nothing after DEL`, async () => {
      await configure(plugins());
      expect((await networks.state(never)).ready).to.equal(true);
      const one = await tenant({ portMappings, bandwidth });
      const linksBefore = await run("ip", "-o", "link");
      await attach(one);
      const link = await joinTap(native, one.place.netnsPath, "eth0");
      expect(link.addresses.map((cidr) => cidr.split("/")[0])).to.have.members(attachmentAddresses(one.attachment));
      expect(link.routes.some(({ destination }) => destination === "0.0.0.0/0")).to.equal(true);
      const tap = await native.readLink(one.place.netnsPath, tapName);
      expect(tap?.mtu).to.equal(link.mtu);
      if (name.includes("tuning")) expect([link.mtu, link.mac]).to.deep.equal([1400, "0a:00:00:00:00:05"]);
      // portmap 1.1 looks for its IPv6 rules at CHECK even where the pod has no such address.
      if (!name.includes("portmap")) await networks.check(one.place, one.attachment, never);
      expect(await reserved()).to.have.length(attachmentAddresses(one.attachment).length);
      await rm(join(directory, "net.d/1.conflist")); // DEL needs no configuration
      await detach(one);
      await detach(one);
      expect(await reserved()).to.deep.equal([]);
      const rules = (await run("iptables-save")) + (await run("ip6tables-save"));
      expect(rules).to.not.contain(one.place.containerId.slice(0, 12));
      const made = (await run("ip", "-o", "link"))
        .split("\n")
        .filter((line) => !linksBefore.includes(line.slice(3, 12)));
      expect(made.filter((line) => !line.includes("br-test") && line !== "")).to.deep.equal([]);
    });
  }

  it("gives addresses back when somebody has taken the namespace away", async () => {
    await configure([bridge("10.86.0.0/24"), { type: "portmap", capabilities: { portMappings: true } }]);
    const one = await tenant({ portMappings });
    await attach(one);
    expect(await reserved()).to.have.length(1);
    await native.removeNetns(one.place.netnsPath);
    await detach(one);
    expect(await reserved()).to.deep.equal([]);
  });

  it("says that the pool of addresses is empty, and works again when one is back", async () => {
    await configure([bridge("10.87.0.0/30")]);
    const [first, second] = [await tenant(), await tenant()];
    await attach(first);
    expect(await failureOf(attach(second))).to.match(/network "net".*"bridge" ADD.*no IP addresses available/);
    await detach(second);
    await detach(first);
    await attach(second);
  });

  describe("with a plugin after them that is bad", () => {
    const cases: [string, string, RegExp][] = [
      ["crashes", "kill -SEGV $$", /"bad" ADD: it was killed by SIGSEGV/],
      ["fails without a word", "exit 3", /"bad" ADD: it ended with status 3/],
      ["fails with words", "echo no disk >&2; exit 1", /"bad" ADD: it ended with status 1: no disk/],
      ["reports an error", `echo '{"code":11,"msg":"busy","details":"later"}'; exit 1`, /"bad" ADD: busy; later/],
      ["prints rubbish", "echo hello", /"bad" ADD: it printed "hello\\n", which is not JSON/],
      ["prints nothing", "true", /"bad" ADD: it printed no result/],
      ["prints without end", "exec yes", /"bad" ADD: it printed more than 1 MiB/],
      ["gives no address", `echo '{"cniVersion":"1.0.0"}'`, /the plugins have given no address/],
      ["hangs", "sleep 300 & sleep 300", /"bad" ADD: no result in 5000 ms/],
    ];
    for (const [name, lines, message] of cases) {
      it(`${name}: says so, and gives the address back`, async () => {
        await configure([bridge("10.88.0.0/24"), { type: "bad" }]);
        await double("bad", `[ $CNI_COMMAND = ADD ] || exit 0\n${lines}`);
        const one = await tenant();
        expect(await failureOf(attach(one))).to.match(message);
        await detach(one);
        expect(await reserved()).to.deep.equal([]);
      });
    }

    it("was killed: is over when what it has started is over, too, which not every signal ends at once", async function () {
      if (!canDie) skipBecause(this, "no /dev/fuse");
      await using dead = await DeadMount.makeThatHolds();
      await configure([bridge("10.88.0.0/24"), { type: "bad" }]);
      await double(
        "bad",
        `[ $CNI_COMMAND = ADD ] || exit 0\nsleep 300 & cat ${dead.path}/rule > /dev/null 2>&1 & echo $! > ${directory}/pid; wait`,
      );
      const one = await tenant();
      const gone = new AbortController();
      const failure = failureOf(attach(one, gone.signal));
      const pid = await eventually(
        "its pid",
        5000,
        async () => Number(await readFile(join(directory, "pid"), "utf8")) || undefined,
      );
      await eventually("its wait", 5000, () => dead.holds || undefined);
      gone.abort();
      const timer = setTimeout(() => {
        dead.end();
      }, 300);
      expect(await failure).to.contain("the caller gave up");
      const left = (await procStat(pid))?.state ?? "Z";
      clearTimeout(timer);
      expect(left).to.equal("Z");
      await detach(one);
    });

    it("is missing: the network is not ready, and the failure names it", async () => {
      await configure([bridge("10.88.0.0/24"), { type: "nowhere" }]);
      const state = await networks.state(never);
      expect(state.ready ? "" : state.message).to.contain('CNI plugin "nowhere" is not in');
      expect(await failureOf(attach(await tenant()))).to.contain('CNI plugin "nowhere" is not in');
    });

    it("answers STATUS with why it takes nobody now", async () => {
      await configure([{ type: "bad" }], "1.1.0");
      await double("bad", `echo '{"code":50,"msg":"no uplink"}'; exit 1`);
      const state = await networks.state(never);
      expect(state.ready ? "" : state.message).to.contain('"bad" STATUS: no uplink');
    });
  });

  describe("of those that others' runtimes take", () => {
    // "": the version that was there before one could be named
    for (const cniVersion of ["", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"]) {
      it(`speaks version "${cniVersion}" with them`, async () => {
        const chain = [bridge("10.91.0.0/24", "fd91::/64"), { type: "portmap", capabilities: { portMappings: true } }];
        await configure(chain, cniVersion);
        const one = await tenant({ portMappings });
        await attach(one);
        const addresses = attachmentAddresses(one.attachment);
        const link = await joinTap(native, one.place.netnsPath, "eth0");
        expect(addresses).to.have.length(2);
        expect(link.addresses.map((cidr) => cidr.split("/")[0])).to.have.members(addresses);
        await detach(one);
        expect(await reserved()).to.deep.equal([]);
        expect(await rulesThatName("8080")).to.deep.equal([]);
      });
    }

    it("takes a result without a version for one of the configuration's, and tells the next plugin so", async () => {
      const heard = join(directory, "heard");
      await configure([{ type: "plain" }, { type: "next" }]);
      await double("plain", `[ $CNI_COMMAND = ADD ] && echo '{"ips":[{"address":"10.92.0.9/24"}]}'; exit 0`);
      const lines = `cat > ${heard}; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.92.0.9/24"}]}'`;
      await writeFile(join(directory, "bin/next"), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
      await attach(await tenant());
      const prevResult = { cniVersion: "1.0.0", ips: [{ address: "10.92.0.9/24" }] };
      expect(JSON.parse(await readFile(heard, "utf8"))).to.deep.include({ prevResult });
    });

    it("takes an address of eth0 for the sandbox's, where the plugin does not say whose interface that is", async () => {
      await configure([{ type: "plain" }]);
      const result = `{"cniVersion":"1.0.0","interfaces":[{"name":"eth0"}],"ips":[{"address":"10.92.0.9/24","interface":0}]}`;
      await double("plain", `[ $CNI_COMMAND = ADD ] && echo '${result}'; exit 0`);
      const one = await tenant();
      await attach(one);
      expect(attachmentAddresses(one.attachment)).to.deep.equal(["10.92.0.9"]);
    });

    it("has those of the directory with the network's name after those of its file, unless the file says no", async () => {
      const heard = join(directory, "heard");
      await mkdir(join(directory, "net.d/net"));
      await writeFile(join(directory, "net.d/net/20-second.conf"), JSON.stringify({ type: "second", more: 2 }));
      await writeFile(join(directory, "net.d/net/10-first.conf"), JSON.stringify({ type: "first", more: 1 }));
      await writeFile(join(directory, "net.d/net/readme"), "{");
      const told = (name: string): string =>
        `[ $CNI_COMMAND = ADD ] || exit 0; echo ${name} >> ${heard}; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.92.0.9/24"}]}'`;
      for (const name of ["inline", "first", "second"]) await double(name, told(name));
      await configure([{ type: "inline" }]);
      await attach(await tenant());
      expect(await readFile(heard, "utf8")).to.equal("inline\nfirst\nsecond\n");
      const list = { cniVersion: "1.0.0", name: "net" };
      const path = join(directory, "net.d/1.conflist");
      await writeFile(path, JSON.stringify(list));
      await rm(heard);
      await attach(await tenant());
      expect(await readFile(heard, "utf8")).to.equal("first\nsecond\n");
      await writeFile(path, JSON.stringify({ ...list, loadOnlyInlinedPlugins: true, plugins: [{ type: "inline" }] }));
      await rm(heard);
      await attach(await tenant());
      expect(await readFile(heard, "utf8")).to.equal("inline\n");
      await writeFile(join(directory, "net.d/net/10-first.conf"), "{");
      await configure([{ type: "inline" }]);
      const state = await networks.state(never);
      expect(state.ready ? "" : state.message).to.match(/1\.conflist is unusable: .*10-first\.conf: it is not JSON/);
    });

    it("waits for a plugin that its installer is just writing", async () => {
      await configure([{ type: "fresh" }]);
      await double("fresh", `echo '{"cniVersion":"1.0.0","ips":[{"address":"10.92.0.9/24"}]}'`);
      const writing = await open(join(directory, "bin/fresh"), "r+");
      const attached = attach(await tenant());
      const before = await Promise.race([attached.then(() => "attached", messageOf), delay(700, "waiting")]);
      await writing.close();
      expect(before).to.equal("waiting");
      await attached;
    });

    it("finds one beside a directory of its name", async () => {
      await mkdir(join(directory, "bin/bridge"));
      await configure([bridge("10.92.0.0/24")]);
      const one = await tenant();
      await attach(one);
      await detach(one);
    });

    it("asks each to collect its garbage, also after one that can't, and names those", async () => {
      const heard = join(directory, "heard");
      await double("first", `echo '{"code":4,"msg":"not known here"}'; exit 1`);
      await double("second", "exit 0");
      await writeFile(join(directory, "bin/second"), `#!/bin/sh\ncat > ${heard}\n`, { mode: 0o755 });
      await configure([{ type: "first" }, { type: "second" }], "1.1.0");
      const member = { containerId: newBoxId() };
      expect(await failureOf(networks.collectGarbage([member], never))).to.match(/"first" GC: not known here/);
      const valid = [{ containerID: member.containerId, ifname: "eth0" }];
      // libcni tells them by both names: the specification's, and the one that plugins know from its first text
      expect(JSON.parse(await readFile(heard, "utf8"))).to.deep.include({
        "cni.dev/valid-attachments": valid,
        "cni.dev/attachments": valid,
      });
    });
  });

  it(`keeps no address of ${String(starts)} starts that were broken off at any moment`, async function () {
    this.timeout(60_000 + starts * 3_000);
    await configure([bridge("10.89.0.0/24"), { type: "portmap", capabilities: { portMappings: true } }]);
    let broken = 0;
    for (let round = 0; round < starts; round++) {
      const one = await tenant({ portMappings });
      const gone = new AbortController();
      const timer = setTimeout(
        () => {
          gone.abort();
        },
        (round * 37) % 400,
      );
      await attach(one, gone.signal).catch(() => broken++);
      clearTimeout(timer);
      await detach(one);
      await native.removeNetns(one.place.netnsPath);
      expect(await rulesThatName("8080"), `after start ${String(round)}`).to.deep.equal([]);
    }
    expect(broken).to.be.greaterThan(starts / 10);
    expect(await reserved()).to.deep.equal([]);
  });
});
