/**
 * What a sandbox reaches, tried in a Box on the distribution's bridge: its rules are changed under it, by each of the
 * protocols, and its daemon is killed. The whole table is tried by reach.test.ts.
 */
import { expect } from "chai";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { loadNative, type Native } from "../../src/native/addon.js";
import { Daemon, command } from "../support/daemon.js";
import { Lines, seenBy } from "../support/egress/lines.js";
import { NameServer } from "../support/egress/name-server.js";
import { leadOut } from "../support/egress/way-out.js";
import { busybox, busyboxImage } from "../support/images.js";
import { nodeAddress, NodeNetwork } from "../support/node-network.js";
import { projectDirectory } from "../support/project.js";
import { edgeCall } from "../support/sandboxes/edge.js";
import { eventually, limit } from "../support/wait.js";

const pods = { gateway: "10.96.9.1", subnet: "10.96.9.0/24", gateway6: "fd96:9::1", subnet6: "fd96:9::/64" };
const outside = ["203.0.113.1", "203.0.113.2", "169.254.169.254", "10.77.0.1", "2001:db8:1::1"];
const nameServer = "203.0.113.53";
const openRules = { allow_out: [], deny_out: [] };
/** In the node's namespace, for tenants that have tokens. */
const tenantsPort = 4088;
const token = "0123456789abcdef-of-team-b";

describe("Sandboxes in a network", function () {
  this.timeout(limit(120_000));
  let scratch: string;
  let native: Native;
  let node: NodeNetwork;
  let world: Lines;
  let names: NameServer;
  let daemon: Daemon;
  let box: string;
  let other: string;

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "a3s-eg-"));
    ({ native } = loadNative(join(projectDirectory, "build/assets")));
    node = await NodeNetwork.create();
    await native.createNetns(internet());
    await leadOut(node, internet(), pods, [...outside, nameServer]);
    world = Lines.start(internet(), "world.py", "up0", outside.join(","), "80,53");
    await world.next();
    names = await NameServer.open(await native.listenIn(internet(), "udp", nameServer, 53));
    names.records.set("ok.example.org", ["203.0.113.1", "2001:db8:1::1"]);
    names.records.set("inside.example.org", ["169.254.169.254"]);
    const config = [
      node.daemonConfig,
      ...["[sandboxes]", `listen = ["unix://${scratch}/box.sock", "tcp://127.0.0.1:${String(tenantsPort)}"]`],
      ...['pull = "never"', "life_ms = 600000"],
      ...[`name_servers = ["${nameServer}"]`, "", "[templates.base]", `image = "${busyboxImage}"`, "vcpus = 1"],
      ...["memory_mib = 256", "", "[sandboxes.tokens.team-b]", `token_file = "${scratch}/token"`],
    ];
    await writeFile(join(scratch, "token"), `${token}\n`);
    daemon = await Daemon.start({ images: [await busybox()], config: config.join("\n"), nodeNetns: node.netns });
    await served();
    [box, other] = await Promise.all([created(call), created(callAsTeamB)]);
  });

  after(async () => {
    await call("DELETE", `/v1/sandboxes/${box}`);
    await callAsTeamB("DELETE", `/v1/sandboxes/${other}`);
    await daemon.remove();
    world.kill();
    await names.close();
    await native.removeNetns(internet());
    await node.remove();
    await rm(scratch, { recursive: true, force: true });
  });

  function internet(): string {
    return join(scratch, "internet");
  }

  async function call(method: string, path: string, body?: unknown): Promise<unknown> {
    return await edgeCall(join(scratch, "box.sock"), method, path, body);
  }

  /** By the token of another tenant than the socket's, root of the node. */
  async function callAsTeamB(method: string, path: string, body?: unknown): Promise<unknown> {
    const url = `http://127.0.0.1:${String(tenantsPort)}${path}`;
    const words = ["-sS", "-m", "60", "--fail-with-body", "-X", method, "-H", `Authorization: Bearer ${token}`, url];
    const sent = body === undefined ? [] : ["-H", "Content-Type: application/json", "-d", JSON.stringify(body)];
    const text = await node.run("curl", ...words, ...sent);
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }

  async function served(): Promise<void> {
    await eventually("sandboxes are served", 20_000, async () => (await call("GET", "/v1/sandboxes")) !== undefined);
  }

  async function created(by: Call): Promise<string> {
    return z.object({ id: z.string() }).parse(await by("POST", "/v1/sandboxes", { template: "base" })).id;
  }

  async function run(id: string, line: string, by: Call = call): Promise<string> {
    const said = await by("POST", `/v1/sandboxes/${id}/run`, { command: line });
    return z.object({ stdout: z.string() }).parse(said).stdout;
  }

  /** What comes of each: its answer, or "none". */
  async function tries(...all: readonly string[]): Promise<string[]> {
    const each = all.map((one) => {
      const [how = "", to = "", port = "80"] = one.split(" ");
      if (how === "ping") return `(ping -c 1 -W 2 ${to} >/dev/null 2>&1 && echo pong || echo none)`;
      if (how === "dns") return `(nslookup ${to} 2>/dev/null | grep -A1 ^Name: | grep -q . && echo told || echo none)`;
      const flag = how === "udp" ? "-u" : "";
      return `(answer=$(echo hi | timeout 3 nc ${flag} -w 2 ${to} ${port} 2>/dev/null); echo "\${answer:-none}")`;
    });
    const lines = each.map((line, at) => `${line} > /tmp/try.${String(at)} &`);
    const shown = all.map((_, at) => `cat /tmp/try.${String(at)}`);
    return (await run(box, [...lines, "wait", ...shown].join("\n"))).trim().split("\n");
  }

  async function change(rules: { allow_out: readonly string[]; deny_out: readonly string[] }): Promise<void> {
    await call("PUT", `/v1/sandboxes/${box}/egress`, rules);
  }

  async function refused(): Promise<Record<string, number>> {
    const facts = await call("GET", `/v1/sandboxes/${box}/egress`);
    return z.object({ refused: z.record(z.string(), z.number()) }).parse(facts).refused;
  }

  async function addressOf(id: string, by: Call, family: 4 | 6 = 4): Promise<string> {
    const said = await run(id, `ip -${String(family)} -o addr show dev eth0 scope global`, by);
    return /inet6? ([0-9a-f.:]+)/.exec(said)?.[1] ?? "";
  }

  it("reach what is public by default, and nothing that is closed", async () => {
    const beside = await addressOf(other, callAsTeamB);
    await seenBy(world);
    const came = await tries(
      ...["tcp 203.0.113.1", "ping 203.0.113.1", "tcp 2001:db8:1::1", "dns ok.example.org"],
      ...["tcp 169.254.169.254", "udp 169.254.169.254", "ping 169.254.169.254", "tcp 10.77.0.1", `ping ${beside}`],
      ...[`ping ${pods.gateway}`, `ping ${pods.gateway6}`, `ping ${nodeAddress}`, "tcp 203.0.113.254"],
    );
    expect(came).to.deep.equal([
      ...["tcp 203.0.113.1", "pong", "tcp 2001:db8:1::1", "told"],
      ...["none", "none", "none", "none", "none", "none", "none", "none", "none"],
    ]);
    const out = (await seenBy(world)).map(({ to }) => to);
    expect(out).to.include("203.0.113.1");
    expect(out).to.not.include.members(["169.254.169.254"]);
    expect(out).to.not.include.members(["10.77.0.1"]);
    expect(Object.keys(await refused())).to.include.members(["metadata", "node", "private"]);
  });

  it("reach what their rules say while they run, by addresses and by names", async () => {
    await change({ allow_out: ["203.0.113.2"], deny_out: [] });
    expect(await tries("tcp 203.0.113.2", "tcp 203.0.113.1", "dns ok.example.org")).to.deep.equal([
      ...["tcp 203.0.113.2", "none", "none"],
    ]);
    await change({ allow_out: ["*.example.org"], deny_out: [] });
    names.asked.length = 0;
    expect(await tries("tcp 203.0.113.1", "tcp 203.0.113.2")).to.deep.equal(["none", "none"]);
    expect(await tries("dns secret.evil.example", "dns inside.example.org", "dns ok.example.org")).to.deep.equal([
      ...["none", "none", "told"],
    ]);
    expect(new Set(names.asked)).to.deep.equal(new Set(["inside.example.org", "ok.example.org"]));
    const came = await tries("tcp 203.0.113.1", "tcp ok.example.org", "udp 203.0.113.1 53", "tcp 169.254.169.254");
    expect(came.slice(0, 2)).to.deep.equal(["tcp 203.0.113.1", "tcp 203.0.113.1"]);
    expect(came[2]).to.not.match(/^udp 203/);
    expect(came[3]).to.equal("none");
    expect(Object.keys(await refused())).to.include.members(["name", "not-allowed"]);
  });

  it("of two tenants reach nothing of each other, whatever rules either gives its own", async () => {
    const theirs = [await addressOf(other, callAsTeamB), await addressOf(other, callAsTeamB, 6)];
    expect(theirs).to.not.include("");
    const serve =
      "(while :; do echo theirs | nc -l -p 80; done) & (while :; do echo theirs | nc -u -l -p 80 -w 1; done) &";
    await run(other, `(${serve}) >/dev/null 2>&1`, callAsTeamB);
    await eventually("it serves its own programs", 20_000, async () =>
      (await run(other, "nc -w 2 127.0.0.1 80 </dev/null", callAsTeamB)) === "theirs\n" ? true : undefined,
    );
    const all = theirs.flatMap((one) => [`tcp ${one}`, `udp ${one}`, `ping ${one}`]);
    expect(await tries(...all)).to.deep.equal(all.map(() => "none"));
    for (const allow_out of [theirs, [pods.subnet, pods.subnet6], ["10.0.0.0/8", "fc00::/7"]]) {
      await change({ allow_out, deny_out: [] });
      expect(await tries(...all), `with ${allow_out.join()} open`).to.deep.equal(all.map(() => "none"));
    }
    expect(await refused()).to.have.property("node");
    await change({ allow_out: ["0.0.0.0/0", "::/0"], deny_out: [] });
    expect(await tries(...all), "with all that is public open").to.deep.equal(all.map(() => "none"));
    await change(openRules);
    // Nor by the port, where what is another's is not there.
    const ours = z.object({ sandboxes: z.array(z.object({ id: z.string() })) });
    expect(ours.parse(await call("GET", "/v1/sandboxes")).sandboxes.map(({ id }) => id)).to.deep.equal([box]);
    expect(ours.parse(await callAsTeamB("GET", "/v1/sandboxes")).sandboxes.map(({ id }) => id)).to.deep.equal([other]);
    for (const [method, path, body] of [
      ["GET", "", undefined],
      ["POST", "/run", { command: "true" }],
      ["GET", "/egress", undefined],
      ["PUT", "/egress", openRules],
      ["DELETE", "", undefined],
    ] as const) {
      for (const [by, id] of [
        [call, other],
        [callAsTeamB, box],
      ] as const) {
        const said = await by(method, `/v1/sandboxes/${id}${path}`, body).then(() => "done", String);
        expect(said, `${method} ${path}`).to.match(/: 404\b/);
      }
    }
  });

  it("have their rules by E2B's protocol and at a terminal", async () => {
    await call("PUT", `/sandboxes/${box}/network`, { allowOut: ["203.0.113.2"], denyOut: ["0.0.0.0/0"] });
    expect(await tries("tcp 203.0.113.2", "tcp 203.0.113.1")).to.deep.equal(["tcp 203.0.113.2", "none"]);
    const endpoint = ["--endpoint", `unix://${scratch}/box.sock`];
    const told = await command(["egress", ...endpoint, box]);
    expect(told.stdout, told.stderr).to.match(/allowed: 203\.0\.113\.2\n/);
    expect(told.stdout).to.match(/^203\.0\.113\.1 +tcp\/80 +not-allowed/m);
    const changed = await command(["egress", ...endpoint, "--deny-out", "203.0.113.0/24", box]);
    expect(changed.stdout, changed.stderr).to.match(/rest: +allow\n/);
    expect(await tries("tcp 203.0.113.2", "tcp 2001:db8:1::1")).to.deep.equal(["none", "tcp 2001:db8:1::1"]);
  });

  it("stay with their rules when the daemon is killed, and have their names again from the next", async () => {
    await change({ allow_out: ["ok.example.org"], deny_out: [] });
    expect(await tries("dns ok.example.org")).to.deep.equal(["told"]);
    await run(
      box,
      "(while :; do for a in 203.0.113.1 203.0.113.2; do echo hi | timeout 2 nc -w 1 $a 80; done; sleep 1; done) >/dev/null 2>&1 &",
    );
    await daemon.stop("SIGKILL");
    await seenBy(world);
    const seen = new Set<string>();
    await eventually("the Box goes on to where it may", 20_000, async () => {
      for (const { to } of await seenBy(world)) seen.add(to);
      return seen.has("203.0.113.1") ? true : undefined;
    });
    expect(seen).to.not.include("203.0.113.2");
    await daemon.launch();
    await served();
    expect(await tries("dns ok.example.org", "tcp 203.0.113.1", "tcp 203.0.113.2")).to.deep.equal([
      ...["told", "tcp 203.0.113.1", "none"],
    ]);
    await change(openRules);
    expect(await tries("tcp 203.0.113.2", "tcp 169.254.169.254")).to.deep.equal(["tcp 203.0.113.2", "none"]);
  });
});

type Call = (method: string, path: string, body?: unknown) => Promise<unknown>;
