import { networkInterfaces } from "node:os";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { Limiter } from "../../base/limiter.js";
import type { Logger } from "../../base/log.js";
import { monotonicMs } from "../../base/clock.js";
import type { LinkState, Native } from "../../native/addon.js";
import { orderedRoutes, requireLink, tapName } from "../guest-link.js";
import type { EgressReason } from "./closed.js";
import { DnsSockets } from "./dns/sockets.js";
import { BoxResolver, type RefusedName } from "./dns/resolver.js";
import { askServers, type Upstream } from "./dns/upstream.js";
import { nameFits } from "./names.js";
import { applyRules, readRules, type KernelPin, type RefusedDestination } from "./nft.js";
import { namesInComment, Pins, unpinText, type Pin } from "./pins.js";
import { compileEgress, judge, mayPin, type Egress, type EgressSpec } from "./policy.js";
import { addressOf, isWithin, rangeOf, type Family, type Range } from "./ranges.js";
import { RefusedTotals, type Refused } from "./refused-totals.js";
import { dnsEnds, namePorts, rulesetOf, type BoxEnds } from "./ruleset.js";

/** One Box's network, while it is there. */
export interface EgressPlace {
  readonly id: string;
  readonly netnsPath: string;
  readonly interfaceName: string;
}

/** What was refused to one Box, and why. */
export interface EgressFacts {
  /** Packets and questions, by reason; reasons of which there are none are absent. */
  readonly refused: Refused;
  /** Some of the destinations of the last ten minutes, the last first. */
  readonly destinations: readonly (RefusedDestination & { readonly reason: EgressReason })[];
  /** Names that no rule allows, or that lead where none may; of this daemon's time. */
  readonly names: readonly RefusedName[];
}

/** What this process has of a Box: the rules are the kernel's. */
interface Held {
  readonly place: EgressPlace;
  egress: Egress;
  readonly pins: Pins;
  readonly names: Map<EgressReason, number>;
  resolver: BoxResolver | undefined;
  sockets: DnsSockets | undefined;
}

/** What other rules leave of the kernel's pins: those with a name that is allowed still, and addresses of those without. */
interface PinsLeft {
  readonly kept: readonly Pin[];
  readonly gone: readonly string[];
}

const noPins: PinsLeft = { kept: [], gone: [] };

/** Counters that are older are read again when somebody asks for all of them; so many at a time, and so many each time. */
const countersAgeMs = 10_000;
const readsAtOnce = 2;
const readsEachTime = 16;
const lastReadLimitMs = 3_000;

/**
 * Keeps what Boxes may reach (docs/adr/0114): rules in each pod's network namespace, which stay without this process, and
 * the answers to names, which don't. The caller has the sandbox's lock.
 */
export class EgressKeeper {
  readonly #native: Native;
  readonly #log: Logger;
  readonly #upstream: (servers: readonly string[]) => Upstream;
  readonly #held = new Map<string, Held>();
  readonly #totals = new RefusedTotals();
  readonly #reads = new Limiter<string>({ inAll: readsAtOnce });
  readonly #readAtMs = new Map<string, number>();

  constructor(native: Native, log: Logger, upstream: (servers: readonly string[]) => Upstream = askServers) {
    this.#native = native;
    this.#log = log;
    this.#upstream = upstream;
  }

  /** Instead of `joinTap`: nothing passes between the interface and the tap but by the rules. */
  async join(place: EgressPlace, spec: EgressSpec, signal: AbortSignal): Promise<LinkState> {
    await this.#native.raiseLinks(place.netnsPath, place.interfaceName, tapName);
    const link = await this.#require(place);
    await this.#put(place, spec, link, noPins, signal);
    return { ...link, routes: orderedRoutes(link.routes) };
  }

  /** Other rules, or the same again after a restart. What names that stay allowed have led to stays open. */
  async apply(place: EgressPlace, spec: EgressSpec, signal: AbortSignal): Promise<void> {
    const link = await this.#require(place);
    const egress = compileEgress(spec, beside(link));
    const held = this.#held.get(place.id);
    held?.resolver?.setRules(egress);
    const change = async (): Promise<void> => {
      const { refused, pins } = await readRules(place.netnsPath, signal);
      if (held === undefined) this.#totals.begin(place.id, refused);
      await this.#put(place, spec, link, pinsUnder(egress, pins, held?.pins), signal);
    };
    // An address that is told meanwhile, under the new rules, must not be among those that go.
    await (held === undefined ? change() : held.pins.alone(change));
  }

  async facts({ id, netnsPath }: EgressPlace, signal: AbortSignal): Promise<EgressFacts> {
    const held = this.#held.get(id);
    const { refused, recent } = await readRules(netnsPath, signal);
    this.#count(id, held, refused);
    const reasonOf = ({ address, protocol, port }: RefusedDestination): EgressReason => {
      const verdict = held === undefined ? "not-allowed" : judge(held.egress, address);
      if (verdict === "allowed") return "dns"; // of what is allowed only fragments are refused, and ports of names
      const isNames = (protocol === "tcp" || protocol === "udp") && namePorts.some((one) => one === port);
      // As the rules have it: before denials and what is closed.
      return isNames && (held?.egress.names.length ?? 0) > 0 ? "dns" : verdict;
    };
    return {
      refused: summed(refused, held?.names ?? new Map()),
      destinations: recent.map((one) => ({ ...one, reason: reasonOf(one) })),
      names: held?.resolver?.refusedNames ?? [],
    };
  }

  /** Its network goes: counts what came last, as far as that is quick. */
  async forget(id: string): Promise<void> {
    const held = this.#held.get(id);
    if (held === undefined) {
      this.#totals.end(id); // its rules were read, and could not be applied
      return;
    }
    this.#held.delete(id);
    this.#readAtMs.delete(id);
    await held.sockets?.[Symbol.asyncDispose]();
    try {
      const { refused } = await readRules(held.place.netnsPath, AbortSignal.timeout(lastReadLimitMs));
      this.#totals.read(id, refused);
    } catch {
      // The namespace is gone already: what was counted stays.
    }
    this.#totals.end(id);
  }

  /** Of all Boxes, since this daemon began. */
  async totals(): Promise<Refused> {
    const now = monotonicMs();
    const due = [...this.#held.values()]
      .map(({ place }) => ({ place, atMs: this.#readAtMs.get(place.id) ?? 0 }))
      .filter(({ atMs }) => now - atMs >= countersAgeMs)
      .sort((a, b) => a.atMs - b.atMs)
      .slice(0, readsEachTime);
    await Promise.all(due.map(({ place }) => this.#readCounters(place)));
    return this.#totals.all;
  }

  /** Rules stay; nobody answers names until the next daemon does. */
  async close(): Promise<void> {
    const open = [...this.#held.values()].flatMap(({ sockets }) => sockets ?? []);
    await Promise.all(open.map((sockets) => sockets[Symbol.asyncDispose]()));
    this.#held.clear();
  }

  async #readCounters({ id, netnsPath }: EgressPlace): Promise<void> {
    const signal = AbortSignal.timeout(lastReadLimitMs);
    const held = this.#held.get(id);
    this.#readAtMs.set(id, monotonicMs());
    try {
      const { refused } = await this.#reads.run(id, signal, () => readRules(netnsPath, signal));
      this.#count(id, held, refused);
    } catch (thrown) {
      this.#log.debug({ sandboxId: id, err: messageOf(thrown) }, "counters of egress rules could not be read");
    }
  }

  /** What was read of a Box: of one that was forgotten meanwhile all of it has been counted. */
  #count(id: string, held: Held | undefined, refused: Refused): void {
    if (held !== undefined && this.#held.get(id) === held) this.#totals.read(id, refused);
  }

  async #put(
    place: EgressPlace,
    spec: EgressSpec,
    link: LinkState,
    pins: PinsLeft,
    signal: AbortSignal,
  ): Promise<void> {
    const egress = compileEgress(spec, beside(link));
    const ends = endsOf(place, link);
    const families = ([4, 6] as const).filter((family) => ends.addresses[family].length > 0);
    if (spec.names.length > 0) await this.#addEnds(place, ends, families);
    const text = rulesetOf(egress, ends, byFamily(spec.nameServers)) + unpinText(pins.gone);
    await applyRules(place.netnsPath, text, signal);
    await this.#serveNames(place, spec, egress, families, pins.kept);
  }

  async #addEnds({ netnsPath }: EgressPlace, { mac }: BoxEnds, families: readonly Family[]): Promise<void> {
    const bytes = Uint8Array.from(mac.split(":"), (part) => Number.parseInt(part, 16));
    for (const family of families) {
      const { own, guest, prefix } = dnsEnds[family];
      await this.#native.addLinkEnd(netnsPath, tapName, own, prefix, guest, bytes);
    }
  }

  async #serveNames(
    place: EgressPlace,
    spec: EgressSpec,
    egress: Egress,
    families: readonly Family[],
    kept: readonly Pin[],
  ): Promise<void> {
    const held = this.#heldOf(place, egress);
    held.egress = egress;
    held.pins.keep(kept);
    if (spec.names.length === 0) {
      const { sockets } = held;
      [held.sockets, held.resolver] = [undefined, undefined];
      await sockets?.[Symbol.asyncDispose]();
      return;
    }
    const count = (reason: EgressReason): void => {
      held.names.set(reason, (held.names.get(reason) ?? 0) + 1);
      this.#totals.add(reason);
    };
    const pin = (name: string, addresses: readonly string[], ms: number): Promise<void> =>
      held.pins.add(name, addresses, ms);
    const resolver = (held.resolver ??= new BoxResolver(egress, {
      upstream: this.#upstream(spec.nameServers),
      pin,
      refused: count,
    }));
    resolver.setRules(egress);
    if (held.sockets !== undefined) return;
    const sockets = await DnsSockets.open(this.#native, place.netnsPath, families, (message) =>
      resolver.answer(message),
    );
    if (this.#held.get(place.id) === held) {
      held.sockets = sockets;
      return;
    }
    await sockets[Symbol.asyncDispose](); // they would keep the namespace
    throw new RuntimeError("canceled", "its network has gone while its names were to be answered");
  }

  #heldOf(place: EgressPlace, egress: Egress): Held {
    const before = this.#held.get(place.id);
    if (before !== undefined) return before;
    const pins = new Pins(place.netnsPath);
    const held: Held = { place, egress, pins, names: new Map(), resolver: undefined, sockets: undefined };
    this.#held.set(place.id, held);
    return held;
  }

  async #require({ netnsPath, interfaceName }: EgressPlace): Promise<LinkState> {
    return await requireLink(this.#native, netnsPath, interfaceName);
  }
}

function pinsUnder(egress: Egress, pins: readonly KernelPin[], known: Pins | undefined): PinsLeft {
  const all = pins.map(({ address, comment, expiresS }): Pin => {
    const led = known?.namesOf(address) ?? namesInComment(comment);
    const names = mayPin(egress, address) ? led.filter((name) => nameFits(name, egress.names)) : [];
    return { address, names, ms: expiresS * 1000 };
  });
  const gone = all.filter(({ names }) => names.length === 0).map(({ address }) => address);
  return { kept: all.filter(({ names }) => names.length > 0), gone };
}

function endsOf({ interfaceName }: EgressPlace, { mac, addresses }: LinkState): BoxEnds {
  const own = addresses.flatMap((text) => text.split("/")[0] ?? []).filter((address) => !address.startsWith("fe80:"));
  return { outer: interfaceName, inner: tapName, mac, addresses: byFamily(own) };
}

function byFamily(addresses: readonly string[]): Readonly<Record<Family, readonly string[]>> {
  const of = (family: Family): string[] => addresses.filter((one) => addressOf(one)?.family === family);
  return { 4: of(4), 6: of(6) };
}

/** Addresses of the machine, and what is beside the Box on its link: other Boxes, the gateway. */
function beside({ addresses, routes }: LinkState): Range[] {
  const machine = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => address);
  const gateways = routes.flatMap(({ gateway }) => gateway ?? []);
  const ranges = [...machine, ...gateways, ...addresses].flatMap((text) => rangeOf(text) ?? []);
  const unique: Range[] = [];
  for (const range of ranges) if (!unique.some((one) => isWithin(range, one))) unique.push(range);
  return unique;
}

function summed(refused: Refused, more: ReadonlyMap<EgressReason, number>): Refused {
  const all: Partial<Record<EgressReason, number>> = { ...refused };
  for (const [reason, count] of more) all[reason] = (all[reason] ?? 0) + count;
  return all;
}
