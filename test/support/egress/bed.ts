/**
 * A pod's network namespace between a guest and all that is outside, each a namespace: the guest's end is a veth in place of
 * a tap, so that it is tried without a Box what rules let through.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createLogger } from "../../../src/base/log.js";
import { neverAborted } from "../../../src/base/signals.js";
import { loadNative, type Native } from "../../../src/native/addon.js";
import { joinTap } from "../../../src/net/guest-link.js";
import { EgressKeeper, type EgressFacts, type EgressPlace } from "../../../src/net/egress/keeper.js";
import { planEgress, type EgressWanted } from "../../../src/net/egress/policy.js";
import { askServers } from "../../../src/net/egress/dns/upstream.js";
import { projectDirectory } from "../project.js";
import { limit } from "../wait.js";
import { Lines, seenBy, type Seen } from "./lines.js";
import { NameServer } from "./name-server.js";

export const guest = { 4: "10.9.0.2", 6: "fd09::2" } as const;
export const gateway = { 4: "10.9.0.1", 6: "fd09::1" } as const;
const gatewayMac = "02:00:0a:09:00:01";
export const mac = "02:00:0a:09:00:02";

/** Outside: each answers on ports 80, 443, 53 and 853. */
export const outside = [
  ...[
    "203.0.113.1",
    "203.0.113.2",
    "203.0.113.9",
    "198.51.100.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
  ],
  ...["10.77.0.1", "10.9.0.3", "100.64.1.1", gateway[4], gateway[6], "2001:db8::1", "2001:db8::2", "fd00:ec2::254"],
  ...["64:ff9b::a9fe:a9fe", "fd09::3"],
];

export type Try =
  | { readonly do: "tcp" | "udp"; readonly to: string; readonly port: number; readonly size?: number }
  | { readonly do: "ping"; readonly to: string }
  | {
      readonly do: "dns";
      readonly server: string;
      readonly name: string;
      readonly kind?: number;
      readonly by?: "udp" | "tcp";
    }
  | { readonly do: "frame"; readonly device: string; readonly hex: string };

export class EgressBed {
  readonly directory: string;
  readonly names: NameServer;
  keeper: EgressKeeper;
  readonly #native: Native;
  readonly #started: Lines[] = [];
  #world: Lines | undefined;

  private constructor(directory: string, names: NameServer) {
    this.directory = directory;
    this.names = names;
    ({ native: this.#native } = loadNative(join(projectDirectory, "build/assets")));
    this.keeper = this.newKeeper();
  }

  static async open(): Promise<EgressBed> {
    await promisify(execFile)("ip", ["link", "set", "lo", "up"]); // this process is in a namespace of its own
    const bed = new EgressBed(await mkdtemp(join(tmpdir(), "a3s-e")), await NameServer.open());
    for (const name of ["guest", "pod", "world"]) await bed.#native.createNetns(bed.at(name));
    await bed.#wire();
    bed.#world = bed.start("world", "world.py", "up0", outside.join(","), "80,443,53,853");
    await bed.#world.next();
    return bed;
  }

  /** As a pod without rules is joined. */
  async joinByTc(): Promise<void> {
    await joinTap(this.#native, this.at("pod"), "eth0");
  }

  /** As a daemon that has just begun has it. */
  newKeeper(): EgressKeeper {
    return new EgressKeeper(this.#native, createLogger("error"), () => askServers([this.names.address]));
  }

  get place(): EgressPlace {
    return { id: "box", netnsPath: this.at("pod"), interfaceName: "eth0" };
  }

  at(name: string): string {
    return join(this.directory, name);
  }

  async join(wanted: EgressWanted): Promise<void> {
    await this.keeper.join(this.place, this.#plan(wanted), neverAborted);
  }

  async apply(wanted: EgressWanted): Promise<void> {
    await this.keeper.apply(this.place, this.#plan(wanted), neverAborted);
  }

  async facts(): Promise<EgressFacts> {
    return await this.keeper.facts(this.place, neverAborted);
  }

  #plan(wanted: EgressWanted) {
    return planEgress(wanted, { mayOpen: ["0.0.0.0/0", "::/0"], mayOpenNode: true, nameServers: ["10.77.0.1"] });
  }

  async run(where: string, program: string, ...args: readonly string[]): Promise<string> {
    const all = [`--net=${this.at(where)}`, program, ...args];
    return (await promisify(execFile)("nsenter", all, { timeout: limit(60_000) })).stdout;
  }

  /** What comes of each try of the guest, one after the other. */
  async tries(all: readonly Try[], where = "guest"): Promise<unknown[]> {
    const script = join(projectDirectory, "test/support/egress/probe.py");
    const said: unknown = JSON.parse(await this.run(where, "python3", script, JSON.stringify(all)));
    if (!Array.isArray(said)) throw new Error("no list");
    return said.map((one: unknown) => one);
  }

  async try(one: Try): Promise<unknown> {
    return (await this.tries([one]))[0];
  }

  /** What has come in outside since the last time. */
  async seen(): Promise<Seen[]> {
    return this.#world === undefined ? [] : await seenBy(this.#world);
  }

  start(where: string, script: string, ...args: readonly string[]): Lines {
    const lines = Lines.start(this.at(where), script, ...args);
    this.#started.push(lines);
    return lines;
  }

  async close(): Promise<void> {
    for (const one of this.#started) one.kill();
    await this.keeper.close();
    await this.names.close();
    for (const name of ["guest", "pod", "world"]) await this.#native.removeNetns(this.at(name));
    await rm(this.directory, { recursive: true, force: true });
  }

  async #wire(): Promise<void> {
    const lines = (where: string, ...all: readonly string[]): Promise<string> =>
      this.run(where, "sh", "-ec", all.join("\n"));
    await lines(
      "pod",
      `ip link add eth0 address ${mac} type veth peer name up0 netns ${this.at("world")}`,
      `ip link add tap0 type veth peer name eth0 address ${mac} netns ${this.at("guest")}`,
      `ip addr add ${guest[4]}/24 dev eth0`,
      `ip addr add ${guest[6]}/64 dev eth0 nodad`,
      "ip link set eth0 up",
      "ip link set tap0 up",
      "echo 1 > /proc/sys/net/ipv4/ip_forward", // as the node has it, and so a new namespace of its
      "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
    );
    await lines(
      "world",
      `ip addr add ${gateway[4]}/24 dev up0`,
      `ip addr add ${gateway[6]}/64 dev up0 nodad`,
      `ip link set up0 address ${gatewayMac}`,
      "ip link set up0 up",
      ...outside.map(
        (one) => `ip addr replace ${one} dev ${Object.values<string>(gateway).includes(one) ? "up0" : "lo"}`,
      ),
    );
    await lines(
      "pod", // plugins leave it like that, with neighbours that are known for good
      `ip route add default via ${gateway[4]}`,
      `ip neigh replace ${gateway[4]} lladdr ${gatewayMac} dev eth0 nud permanent`,
    );
    await lines(
      "guest",
      "ip link set eth0 up",
      `ip addr add ${guest[4]}/24 dev eth0`,
      `ip addr add ${guest[6]}/64 dev eth0 nodad`,
      `ip route add default via ${gateway[4]}`,
      `ip -6 route add default via ${gateway[6]}`,
    );
  }
}
