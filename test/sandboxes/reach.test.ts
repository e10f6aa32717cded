/**
 * What a Box reaches, target by target and policy by policy (test/support/egress/reach-table.ts): one Box for each policy, all tried
 * in it, what came of each compared with its cell, and each refusal looked up with its reason.
 */
import { expect } from "chai";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { loadNative, type Native } from "../../src/native/addon.js";
import { Daemon } from "../support/daemon.js";
import type { Try } from "../support/egress/bed.js";
import { Lines, seenBy } from "../support/egress/lines.js";
import { NameServer } from "../support/egress/name-server.js";
import * as reach from "../support/egress/reach-table.js";
import { leadOut, wan } from "../support/egress/way-out.js";
import { nodeAddress, NodeNetwork } from "../support/node-network.js";
import { projectDirectory } from "../support/project.js";
import { edgeCall } from "../support/sandboxes/edge.js";
import { baseImage, importTemplate } from "../support/template-images.js";
import { eventually, limit } from "../support/wait.js";

const programs = join(projectDirectory, "test/support/egress");
const runAnswer = z.object({ stdout: z.string(), stderr: z.string(), exit_code: z.number() });
const factsAnswer = z.object({
  refused: z.record(z.string(), z.number()),
  destinations: z.array(z.object({ address: z.string(), protocol: z.string(), port: z.number(), reason: z.string() })),
  names: z.array(z.object({ name: z.string(), reason: z.string() })),
});
type Facts = z.infer<typeof factsAnswer>;

describe("What a Box reaches", function () {
  this.timeout(limit(180_000));
  let scratch: string;
  let native: Native;
  let node: NodeNetwork;
  let world: Lines;
  let onNode: Lines;
  let daemon: Daemon;
  let other: string;
  let rows: reach.Row[];
  const servers: NameServer[] = [];

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "a3s-reach-"));
    ({ native } = loadNative(join(projectDirectory, "build/assets")));
    node = await NodeNetwork.create();
    await native.createNetns(internet());
    await leadOut(node, internet(), reach.pods, [...reach.outside, ...Object.values(reach.nameServers)]);
    world = Lines.start(internet(), "world.py", "up0", reach.outside.join(","), "53,80,853");
    await world.next();
    for (const address of Object.values(reach.nameServers)) await serveNames(address);
    const config = [
      node.daemonConfig,
      ...["[sandboxes]", `listen = ["unix://${scratch}/box.sock"]`, 'pull = "never"', "life_ms = 3600000", "vcpus = 1"],
      ...["memory_mib = 256", `name_servers = ["${reach.nameServers.node}"]`, `mounts = ["${programs}"]`],
      ...["[templates.tries]", `image = "${baseImage}"`, 'user = "root"'],
      ...["[templates.opened]", `image = "${baseImage}"`, 'user = "root"'],
      `allow_out = ${JSON.stringify(reach.openingAll(nodeAddress))}`,
    ];
    daemon = await Daemon.start({ config: config.join("\n"), nodeNetns: node.netns });
    await importTemplate(daemon, "base");
    other = await created({ template: "tries" });
    const addresses = (await run(other, "hostname -I")).trim().split(" ");
    expect(addresses).to.have.length(2);
    const serve = `python3 /tries/world.py eth0 ${addresses.join(",")} 80`;
    await run(other, `(sleep 3600 | ${serve}) > /dev/shm/said 2>&1 &`);
    await eventually("the other Box serves", 20_000, async () =>
      (await run(other, "cat /dev/shm/said")).includes("ready") ? true : undefined,
    );
    const onIt = [nodeAddress, ...Object.values(wan), reach.pods.gateway, reach.pods.gateway6];
    onNode = Lines.start(node.netns, "world.py", "wan", onIt.join(","), "80");
    await onNode.next();
    rows = reach.reachRows(nodeAddress, addresses);
  });

  after(async () => {
    await call("DELETE", `/v1/sandboxes/${other}`);
    await daemon.remove();
    for (const one of [world, onNode]) one.kill();
    for (const one of servers) await one.close();
    await native.removeNetns(internet());
    await node.remove();
    await rm(scratch, { recursive: true, force: true });
  });

  function internet(): string {
    return join(scratch, "internet");
  }

  async function serveNames(address: string): Promise<void> {
    const server = await NameServer.open(await native.listenIn(internet(), "udp", address, 53));
    await server.serveStreams(await native.listenIn(internet(), "tcp", address, 53));
    for (const [name, addresses] of Object.entries(reach.records)) server.records.set(name, addresses);
    servers.push(server);
  }

  async function call(method: string, path: string, body?: unknown): Promise<unknown> {
    return await edgeCall(join(scratch, "box.sock"), method, path, body);
  }

  async function created(more: object): Promise<string> {
    const mounts = [{ host_path: programs, path: "/tries", readonly: true }];
    return z.object({ id: z.string() }).parse(await call("POST", "/v1/sandboxes", { mounts, ...more })).id;
  }

  async function run(id: string, command: string): Promise<string> {
    const said = runAnswer.parse(
      await call("POST", `/v1/sandboxes/${id}/run`, { command, limit_ms: Math.round(limit(90_000)) }),
    );
    expect(said.exit_code, said.stderr).to.equal(0);
    return said.stdout;
  }

  async function tries(id: string, all: readonly Try[]): Promise<unknown[]> {
    return z.array(z.unknown()).parse(JSON.parse(await run(id, `python3 /tries/probe.py '${JSON.stringify(all)}'`)));
  }

  /** By row: first all that waits for no name. */
  async function outcomes(id: string): Promise<Map<reach.Row, unknown>> {
    const came = new Map<reach.Row, unknown>();
    for (const wave of [rows.filter(({ last }) => !last), rows.filter(({ last }) => last)]) {
      const all = await tries(
        id,
        wave.map(({ tried }) => tried),
      );
      for (const [at, one] of wave.entries()) came.set(one, all[at]);
    }
    return came;
  }

  /** In a Box of its own, which is gone afterwards; with what has come in outside and at the name servers meanwhile. */
  async function tried(more: object): Promise<Tried> {
    const id = await created(more);
    try {
      await seenBy(world);
      for (const one of servers) one.asked.length = 0;
      const came = await outcomes(id);
      const asked = new Set(servers.flatMap((one) => one.asked));
      const seen = new Set((await seenBy(world)).flatMap(({ to }) => (reach.outside.includes(to) ? [to] : [])));
      const facts = factsAnswer.safeParse(await call("GET", `/v1/sandboxes/${id}/egress`).catch(() => undefined));
      return { came, asked, seen, facts: facts.data };
    } finally {
      await call("DELETE", `/v1/sandboxes/${id}`);
    }
  }

  it("reaches every target where all of them are opened, so that each refusal is one", async () => {
    const { came, asked } = await tried({ template: "opened" });
    const wrong = rows.filter((row) => !isThrough(row.tried, came.get(row), asked));
    expect(wrong.map((row) => `${row.what}: ${JSON.stringify(came.get(row))}`)).to.deep.equal([]);
  });

  for (const policy of ["default", "addresses", "deny", "names"] as const) {
    it(`by the policy "${policy}" reaches what its column says, and each refusal has its reason`, async () => {
      const result = await tried({ template: "tries", ...reach.policies[policy] });
      const wrong = rows.flatMap((row) => faultsOf(row, row.cells[policy], result));
      expect(wrong).to.deep.equal([]);
      const cells = rows.map((row) => row.cells[policy]);
      for (const reason of new Set(cells)) {
        if (reason === "through" || reason === "told" || reason === "empty") continue;
        const least = cells.filter((cell) => cell === reason).length;
        expect(result.facts?.refused[reason], reason).to.be.at.least(least);
      }
      const through = rows.flatMap((row) => (row.cells[policy] === "through" ? addressOf(row.tried) : []));
      expect([...result.seen].filter((one) => isKept(one, policy) && !through.includes(one))).to.deep.equal([]);
    });
  }

  it('by the policy "none" reaches nothing: there is no link but its loopback', async () => {
    const { came, asked, seen } = await tried({ template: "tries", ...reach.policies.none });
    const wrong = rows.filter((row) => came.get(row) !== "no route");
    expect(wrong.map((row) => `${row.what}: ${JSON.stringify(came.get(row))}`)).to.deep.equal([]);
    expect([asked.size, seen.size]).to.deep.equal([0, 0]);
  });

  function isKept(address: string, policy: Exclude<reach.Policy, "none">): boolean {
    return rows.some(({ tried: one, cells }) => addressOf(one) === address && cells[policy] !== "through");
  }
});

interface Tried {
  readonly came: ReadonlyMap<reach.Row, unknown>;
  /** Of the name servers outside. */
  readonly asked: ReadonlySet<string>;
  /** Addresses that packets have come for, outside: not the name servers', whom the daemon asks. */
  readonly seen: ReadonlySet<string>;
  readonly facts: Facts | undefined;
}

function addressOf(one: Try): string {
  return "to" in one ? one.to : "server" in one ? one.server : "";
}

function isThrough(one: Try, came: unknown, asked: ReadonlySet<string>): boolean {
  if (one.do === "dns") return asked.has(one.name) && (Array.isArray(came) || came === "rcode 3");
  return typeof came === "string" && /^(?:tcp |udp |pong)/.test(came);
}

function faultsOf(row: reach.Row, cell: reach.Cell, { came, asked, facts }: Tried): string[] {
  const outcome = came.get(row);
  const fault = (why: string): string[] => [`${row.what}: ${JSON.stringify(outcome)}, not "${cell}": ${why}`];
  const { tried: one } = row;
  if (cell === "through") return isThrough(one, outcome, asked) ? [] : fault("no answer");
  if (one.do === "dns" && ["told", "empty", "name", "metadata"].includes(cell)) {
    const isRight =
      cell === "told"
        ? Array.isArray(outcome) && outcome.length > 0
        : JSON.stringify(outcome) === (cell === "empty" ? "[]" : '"rcode 3"');
    if (!isRight) return fault("another answer");
    if ((cell === "name" || cell === "empty") && asked.has(one.name)) return fault("somebody was asked");
    const said =
      cell === "told" || cell === "empty" || facts?.names.some((it) => it.name === one.name && it.reason === cell);
    return said === true ? [] : fault("not among the names that were refused");
  }
  // The daemon itself says there that it is no question, and counts it.
  if (cell === "dns" && portOf(one) === 53) return isThrough(one, outcome, asked) ? fault("an answer") : [];
  if (typeof outcome !== "string" || !/^(?:unreachable|silence|reset)$/.test(outcome)) return fault("an answer");
  if (one.do === "dns" && asked.has(one.name)) return fault("somebody was asked");
  return isTold(one, cell, facts) ? [] : fault("not among the destinations that were refused");
}

function portOf(one: Try): number {
  return one.do === "dns" ? 53 : "port" in one ? one.port : 0;
}

function isTold(one: Try, cell: reach.Cell, facts: Facts | undefined): boolean {
  const protocol = one.do === "dns" ? (one.by ?? "udp") : one.do === "ping" ? "icmp" : one.do;
  const isThat = (it: Facts["destinations"][number]): boolean =>
    it.address === addressOf(one) && it.protocol.includes(protocol) && it.port === portOf(one) && it.reason === cell;
  return facts?.destinations.some(isThat) === true;
}
