import { expect } from "chai";
import { gateway, guest, EgressBed, mac, type Try } from "../support/egress/bed.js";
import type { EgressWanted } from "../../src/net/egress/policy.js";
import { linkLocal } from "../../src/net/egress/ruleset.js";

const open: EgressWanted = { allowOut: [], denyOut: [] };
const names: EgressWanted = { allowOut: ["*.example.org", "example.net"], denyOut: [] };

const to = (address: string, port = 80): Try => ({ do: "tcp", to: address, port });
const sent = (address: string, port = 80, size = 5): Try => ({ do: "udp", to: address, port, size });
const ping = (address: string): Try => ({ do: "ping", to: address });
const ask = (name: string, more: Partial<Extract<Try, { do: "dns" }>> = {}): Try => ({
  ...{ do: "dns", server: "203.0.113.9", name },
  ...more,
});

function hexOf(address: string): string {
  return address
    .split(".")
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join("");
}

/** A TCP segment for port 53 of a server outside, with these flags; checksums are right. */
function tcpFrame(flags: number): string {
  const sum = (hex: string): string => {
    let total = 0;
    for (let at = 0; at < hex.length; at += 4) total += Number.parseInt(hex.slice(at, at + 4), 16);
    while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
    return (0xffff - total).toString(16).padStart(4, "0");
  };
  const ends = `${hexOf(guest[4])}${hexOf("203.0.113.1")}`;
  const ip = `450000280001000040060000${ends}`;
  const tcp = `9c4000350000000100000001 50${flags.toString(16).padStart(2, "0")}20000000 0000`.replaceAll(" ", "");
  const segment = tcp.slice(0, 32) + sum(`${ends}00060014${tcp}`) + tcp.slice(36);
  const header = ip.slice(0, 20) + sum(ip) + ip.slice(24);
  return `${"ff".repeat(6)}${mac.replaceAll(":", "")}0800${header}${segment}`;
}

/** Whatever is tried comes to that; "kept": nothing of it came out. */
type Row = readonly [Try, "through" | "kept"];

describe("egress rules", function () {
  let bed: EgressBed;
  before(async () => {
    bed = await EgressBed.open();
    bed.names.records.set("ok.example.org", ["203.0.113.1", "2001:db8::1"]);
    bed.names.records.set("alias.example.org", ["a.cdn.example", "203.0.113.2"]);
    bed.names.records.set("rebound.example.org", ["169.254.169.254", "10.77.0.1", "fd00:ec2::254"]);
    bed.names.records.set("half.example.org", ["10.77.0.1", "203.0.113.9"]);
    bed.names.records.set("example.net", ["198.51.100.1"]);
    bed.names.records.set("a.cdn.example", ["203.0.113.2"]);
    await bed.join(open);
  });
  after(() => bed.close());

  async function expectRows(rows: readonly Row[]): Promise<void> {
    await bed.seen();
    const came = await bed.tries(rows.map(([one]) => one));
    for (const [at, [one, wanted]] of rows.entries()) {
      const what = JSON.stringify(one);
      if (wanted === "kept") expect(came[at], what).to.match(/^(?:unreachable|silence|reset)$/);
      else expect(came[at], what).to.match(/^(?:tcp |udp |pong)/);
    }
    const kept = rows.flatMap(([one, wanted]) => (wanted === "kept" && "to" in one ? one.to : []));
    const let_ = rows.flatMap(([one, wanted]) => (wanted === "through" && "to" in one ? one.to : []));
    const out = (await bed.seen()).map(({ to: address }) => address);
    expect(out.filter((address) => kept.includes(address) && !let_.includes(address))).to.deep.equal([]);
  }

  it("let out what is public, and nothing to metadata, neighbours, the node and private networks", async () => {
    await bed.apply(open);
    await expectRows([
      [to("203.0.113.1"), "through"],
      [sent("203.0.113.1"), "through"],
      [sent("203.0.113.1", 80, 4000), "through"],
      [ping("203.0.113.1"), "through"],
      [to("2001:db8::1"), "through"],
      [sent("2001:db8::1", 80, 4000), "through"],
      [ping("2001:db8::1"), "through"],
      [sent("10.77.0.1", 53), "through"], // a name server of the sandbox's
      [to("10.77.0.1"), "kept"],
      [sent("10.77.0.1"), "kept"],
      [to("169.254.169.254"), "kept"],
      [sent("169.254.169.254", 53), "kept"],
      [ping("169.254.169.254"), "kept"],
      [to("100.100.100.200"), "kept"],
      [to("168.63.129.16"), "kept"],
      [to("fd00:ec2::254"), "kept"],
      [to("64:ff9b::a9fe:a9fe"), "kept"],
      [to("100.64.1.1"), "kept"],
      [to("10.9.0.3"), "kept"], // another Box
      [to("fd09::3"), "kept"],
      [to(gateway[4]), "kept"],
      [ping(gateway[4]), "kept"],
      [ping(gateway[6]), "kept"],
    ]);
  });

  it("let allowed addresses out and nothing else, closed ones only by a rule that lies within", async () => {
    await bed.apply({
      allowOut: ["198.51.100.0/24", "10.0.0.0/8", "2001:db8::2", "0.0.0.0/1"],
      denyOut: ["0.0.0.0/0"],
    });
    await expectRows([
      [to("198.51.100.1"), "through"],
      [to("10.77.0.1"), "through"],
      [to("2001:db8::2"), "through"],
      [to("203.0.113.1"), "kept"],
      [to("2001:db8::1"), "kept"],
      [to("100.64.1.1"), "kept"], // "0.0.0.0/1" has it, and opens nothing that is closed
      [to(gateway[4]), "kept"], // nor does "10.0.0.0/8" the node
      [to("10.9.0.3"), "kept"],
      [to("169.254.169.254"), "kept"],
    ]);
    await bed.apply({ allowOut: ["169.254.169.254", "203.0.113.1"], denyOut: ["203.0.113.0/24"], rest: "allow" });
    await expectRows([
      [to("169.254.169.254"), "through"],
      [to("203.0.113.1"), "through"],
      [to("203.0.113.2"), "kept"],
      [to("198.51.100.1"), "through"],
      [to("10.77.0.1"), "kept"],
    ]);
  });

  it("answer names that are allowed, whomever they are asked of, and let out to what they lead to", async () => {
    await bed.apply(names);
    await expectRows([
      [to("203.0.113.1"), "kept"],
      [to("203.0.113.9", 853), "kept"],
    ]);
    const told = await bed.tries([
      ask("ok.example.org"),
      ask("OK.Example.Org", { server: "10.77.0.1", by: "tcp" }),
      ask("ok.example.org", { server: "2001:db8::2", kind: 28 }),
      ask("alias.example.org", { server: "2001:db8::2", by: "tcp" }),
      ask("example.net"),
      ask("ok.example.org", { kind: 16 }),
      ask("ok.example.org", { kind: 65 }),
      ask("gone.example.org"),
    ]);
    expect(told).to.deep.equal([
      ["203.0.113.1"],
      ["203.0.113.1"],
      ["2001:db8::1"],
      ["203.0.113.2"],
      ["198.51.100.1"],
      [],
      [],
      "rcode 3",
    ]);
    await expectRows([
      [to("203.0.113.1"), "through"],
      [sent("203.0.113.1", 443), "through"],
      [ping("203.0.113.1"), "through"],
      [to("2001:db8::1", 443), "through"],
      [to("203.0.113.2"), "through"],
      [to("198.51.100.1"), "through"],
      [to("203.0.113.9"), "kept"],
      [to("203.0.113.1", 853), "kept"],
      [sent("203.0.113.1", 443, 4000), "kept"], // fragments say no ports
      [to("2001:db8::2"), "kept"],
      [to("10.77.0.1"), "kept"],
    ]);
  });

  it("are no way out by DNS: no other name is asked of anybody, and no port of names leads out", async () => {
    await bed.apply(names);
    await bed.seen();
    bed.names.asked.length = 0;
    const secret = "a".repeat(60);
    const told = await bed.tries([
      ask(`${secret}.evil.example`),
      ask("example.org"), // the pattern is for what is below it
      ask("notexample.net"),
      ask("example.net.evil.example", { by: "tcp" }),
      ask(`${secret}.evil.example`, { kind: 16, server: "2001:db8::1" }),
    ]);
    expect(told).to.deep.equal(Array.from({ length: 5 }, () => "rcode 3"));
    await bed.tries([sent("203.0.113.1", 53, 900), to("203.0.113.1", 53), sent("2001:db8::1", 53, 900)]);
    // What is no connection is led nowhere either, though the namespace would forward it.
    await bed.tries(
      [0x03, 0x06, 0x29, 0x10, 0x00].map((flags) => ({ do: "frame", device: "eth0", hex: tcpFrame(flags) })),
    );
    expect(bed.names.asked.filter((name) => !name.endsWith("example.org"))).to.deep.equal([]);
    expect((await bed.seen()).filter(({ proto }) => proto === 6 || proto === 17)).to.deep.equal([]);
    const facts = await bed.facts();
    expect(facts.names.map(({ name }) => name)).to.include.members([`${secret}.evil.example`, "notexample.net"]);
    expect(facts.refused.name).to.be.at.least(5);
  });

  it("tell no address of a name that is closed: a name can't be bound again to the inside", async () => {
    await bed.apply(names);
    expect(await bed.tries([ask("rebound.example.org"), ask("rebound.example.org", { kind: 28 })])).to.deep.equal([
      "rcode 3",
      "rcode 3",
    ]);
    expect(await bed.try(ask("half.example.org"))).to.deep.equal(["203.0.113.9"]);
    await expectRows([
      [to("169.254.169.254"), "kept"],
      [to("10.77.0.1"), "kept"],
      [to("203.0.113.9"), "through"],
    ]);
    const { names: refused } = await bed.facts();
    expect(refused.find(({ name }) => name === "rebound.example.org")?.reason).to.equal("metadata");
    await bed.apply({ ...names, allowOut: [...names.allowOut, "10.77.0.1"] });
    expect(await bed.try(ask("half.example.org"))).to.deep.equal(["10.77.0.1", "203.0.113.9"]);
  });

  it("change under a connection: it ends where it is denied, and goes on where it is not", async () => {
    await bed.apply(open);
    const [first, second] = ["203.0.113.1", "198.51.100.1"].map((one) =>
      bed.start("guest", "probe.py", "hold", one, "80"),
    );
    if (first === undefined || second === undefined) throw new Error("both");
    expect([await first.next(), await second.next()]).to.deep.equal(["connected", "connected"]);
    expect([await first.say("a"), await second.say("a")]).to.deep.equal(["tcp 203.0.113.1", "tcp 198.51.100.1"]);
    await bed.apply({ allowOut: ["198.51.100.1"], denyOut: [] });
    expect([await first.say("b"), await second.say("b")]).to.deep.equal(["reset", "tcp 198.51.100.1"]);
  });

  it("keep what names have led to over a change that keeps the name, and over a restart of the daemon", async () => {
    await bed.apply(names);
    await bed.tries([ask("ok.example.org"), ask("example.net")]);
    const line = bed.start("guest", "probe.py", "hold", "203.0.113.1", "80");
    await line.next();
    await bed.apply({ allowOut: ["ok.example.org", "198.51.100.7"], denyOut: [] });
    await expectRows([
      [to("203.0.113.1"), "through"],
      [to("198.51.100.1"), "kept"],
    ]);
    await bed.keeper.close(); // what a kill leaves: the kernel's part, and nobody who answers
    await expectRows([
      [to("203.0.113.1"), "through"],
      [to("203.0.113.9"), "kept"],
    ]);
    expect(await bed.try({ do: "dns", server: "203.0.113.9", name: "ok.example.org" })).to.equal("silence");
    const before = (await bed.facts()).refused["not-allowed"] ?? 0;
    expect(before).to.be.at.least(1);
    bed.keeper = bed.newKeeper();
    await bed.apply({ allowOut: ["ok.example.org"], denyOut: [] });
    expect(await bed.try(ask("ok.example.org"))).to.deep.equal(["203.0.113.1"]);
    expect(await line.say("still")).to.equal("tcp 203.0.113.1");
    expect((await bed.facts()).refused["not-allowed"]).to.be.at.least(before);
    await bed.try(to("203.0.113.9"));
    expect(await bed.keeper.totals()).to.deep.equal({ "not-allowed": 1 });
  });

  it("keep what a name has led to when another that led there too is allowed no more", async () => {
    const [one, two] = ["one.example.org", "two.example.org"];
    for (const name of [one, two]) bed.names.records.set(name, ["203.0.113.2"]);
    const apply = (...allowOut: readonly string[]): Promise<void> => bed.apply({ allowOut, denyOut: [] });
    const asks = async (...asked: readonly string[]): Promise<void> => {
      for (const name of asked) expect(await bed.try(ask(name)), name).to.deep.equal(["203.0.113.2"]);
    };
    for (const restarts of [false, true]) {
      await apply(one, two);
      await asks(one, two);
      const line = bed.start("guest", "probe.py", "hold", "203.0.113.2", "80");
      expect(await line.next()).to.equal("connected");
      if (restarts) {
        await bed.keeper.close();
        bed.keeper = bed.newKeeper();
        await apply(one, two);
      }
      await apply(two);
      await expectRows([[to("203.0.113.2"), "through"]]);
      expect(await line.say("two")).to.equal("tcp 203.0.113.2");
      await apply("example.net");
      expect(await line.say("none")).to.equal("reset");
      await expectRows([[to("203.0.113.2"), "kept"]]);
    }
  });

  it("let answers out to whoever has begun, from wherever that is, and no more than answers", async () => {
    await bed.apply({ allowOut: ["198.51.100.1"], denyOut: [] });
    const server = bed.start("guest", "world.py", "eth0", `${guest[4]},${guest[6]}`, "8080");
    await server.next();
    const came = await bed.tries(
      [
        to(guest[4], 8080),
        sent(guest[4], 8080),
        ping(guest[4]),
        to(guest[6], 8080),
        sent(guest[6], 8080),
        ping(guest[6]),
      ],
      "world",
    );
    const wanted = [guest[4], guest[6]].flatMap((one) => [`tcp ${one}`, `udp ${one}`, "pong"]);
    expect(came).to.deep.equal(wanted);
    await expectRows([
      [to(gateway[4]), "kept"],
      [sent(gateway[4]), "kept"],
      [ping(gateway[4]), "kept"],
    ]);
  });

  it("let answers out on connections that have begun before a change, and before a restart of the daemon", async () => {
    await bed.apply({ allowOut: ["198.51.100.1"], denyOut: [] });
    const server = bed.start("guest", "world.py", "eth0", `${guest[4]},${guest[6]}`, "8081");
    await server.next();
    const line = bed.start("world", "probe.py", "hold", guest[4], "8081");
    expect(await line.next()).to.equal("connected");
    await bed.apply({ allowOut: [], denyOut: [] });
    expect(await line.say("changed")).to.equal(`tcp ${guest[4]}`);
    await bed.keeper.close();
    bed.keeper = bed.newKeeper();
    await bed.apply({ allowOut: [], denyOut: [] });
    expect(await line.say("restarted")).to.equal(`tcp ${guest[4]}`);
  });

  it("let no frame out that is not of the Box: sources, ARP, neighbours, routers, VLANs, other protocols", async () => {
    await bed.apply(open);
    await bed.seen();
    const other = "020000000bad";
    const own = mac.replaceAll(":", "");
    const all = "ffffffffffff";
    const ip4 = (source: string): string =>
      `4500001c00010000401100 00${hexOf(source)}${hexOf("203.0.113.1")}1388005000080000`.replace(" ", "");
    const arp = (hardware: string, source: string): string =>
      `${all}${own}08060001080006040001${hardware}${hexOf(source)}000000000000${hexOf(gateway[4])}`;
    const own6 = "fd090000000000000000000000000002";
    const other6 = "fd090000000000000000000000000003";
    const advert = (source: string, target: string): string =>
      `333300000001${own}86dd6000000000183aff${source}ff0200000000000000000000000000018800000020000000${target}`;
    const router = `333300000001${own}86dd6000000000103aff${own6}ff020000000000000000000000000001860000004000070800000000 00000000`;
    const frames = [
      `${all}${other}0800${ip4(guest[4])}`, // another MAC
      `${all}${own}0800${ip4("10.9.0.3")}`, // another address
      `${all}${own}0800${ip4("0.0.0.0")}`,
      `${all}${own}81000064 0800${ip4(guest[4])}`, // VLAN 100
      `${all}${own}88a80064 0800${ip4(guest[4])}`,
      arp(own, "10.9.0.3"), // a neighbour's address
      arp(other, guest[4]),
      advert(own6, other6),
      advert(other6, other6),
      router,
      `0180c200000e${own}88cc${"00".repeat(46)}`, // LLDP
      `${all}${own}88b5${"00".repeat(46)}`,
      `0180c2000000${own}0026${"42".repeat(46)}`, // spanning tree
    ].map((one) => one.replaceAll(" ", ""));
    await bed.tries(frames.map((hex) => ({ do: "frame" as const, device: "eth0", hex })));
    const quiet = (await bed.seen()).filter(({ from, proto }) => from !== linkLocal(mac) && proto !== 58);
    expect(quiet.filter(({ proto }) => proto !== 0x0806)).to.deep.equal([]);
    const { refused } = await bed.facts();
    expect(refused["not-ip"]).to.be.at.least(5);
    expect(refused.spoofed).to.be.at.least(6);
    expect(refused.multicast).to.be.at.least(2); // of the Box, and still nobody's to say
    // The same ways lead out for what is the Box's.
    await bed.tries([
      { do: "frame", device: "eth0", hex: arp(own, guest[4]) },
      { do: "frame", device: "eth0", hex: advert(own6, own6) },
      { do: "frame", device: "eth0", hex: `${all}${own}0800${ip4(guest[4])}` },
    ]);
    expect((await bed.seen()).map(({ proto }) => proto)).to.include.members([0x0806, 58, 17]);
  });

  it("agree with the network's own: what either refuses does not pass", async () => {
    await bed.apply({ allowOut: ["203.0.113.0/24"], denyOut: [] });
    // As a NetworkPolicy's controller has it: on the node's side of the link.
    await bed.run("world", "iptables", "-I", "INPUT", "-s", guest[4], "-d", "203.0.113.2", "-j", "DROP");
    expect(await bed.tries([to("203.0.113.1"), to("203.0.113.2"), to("198.51.100.1")])).to.deep.equal([
      "tcp 203.0.113.1",
      "silence",
      "unreachable",
    ]);
    await bed.run("world", "iptables", "-F", "INPUT");
    expect(await bed.try(to("203.0.113.2"))).to.equal("tcp 203.0.113.2");
  });

  it("end the time of a guest that asks without end, and answer it again afterwards", async () => {
    await bed.apply(names);
    const flood = Array.from({ length: 400 }, (_, at) => ask(`x${String(at)}.example.org`, {}));
    const script = flood.map((one) => ({ ...one, limit: 0.01 }));
    const before = bed.names.asked.length;
    await bed.tries(script);
    expect(bed.names.asked.length - before).to.be.below(300);
    expect((await bed.facts()).refused.dns).to.be.at.least(1);
  });
});

describe("packets that tc leads from the tap to eth0", () => {
  let bed: EgressBed;
  before(async () => {
    bed = await EgressBed.open();
  });
  after(() => bed.close());

  it("are seen by no hook of the pod's namespace: rules there have to take tc's place", async () => {
    await bed.joinByTc();
    const hooks = {
      taken: 'netdev; hook ingress device "tap0" priority 0',
      leaving: 'netdev; hook egress device "eth0" priority 0',
      routed: "inet; hook prerouting priority 0",
      forwarded: "inet; hook forward priority 0",
    };
    const lines = Object.entries(hooks).flatMap(([name, hook]) => {
      const [family = "", where = ""] = hook.split("; ");
      return [
        `add table ${family} ${name}`,
        `add chain ${family} ${name} seen { type filter ${where} ; }`,
        `add rule ${family} ${name} seen ip daddr 203.0.113.1 counter`,
      ];
    });
    await bed.run("pod", "nft", lines.join("; "));
    expect(await bed.try(to("203.0.113.1"))).to.equal("tcp 203.0.113.1");
    const counted = [...(await bed.run("pod", "nft", "list", "ruleset")).matchAll(/counter packets (\d+)/g)];
    expect(counted.map(([, packets]) => packets)).to.deep.equal(["0", "0", "0", "0"]);
  });
});
