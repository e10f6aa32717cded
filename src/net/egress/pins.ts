import { monotonicMs } from "../../base/clock.js";
import { neverAborted } from "../../base/signals.js";
import { applyRules } from "./nft.js";
import { addressOf } from "./ranges.js";
import { mostPins, table } from "./ruleset.js";

/** A comment of an element may have that many bytes. */
const longestComment = 120;
/** That have led to one address: each that is new is one more write. */
const mostNames = 64;

/** An address that packets may go to, because of what these names have led to. */
export interface Pin {
  readonly address: string;
  readonly names: readonly string[];
  /** How long the kernel has it still. */
  readonly ms: number;
}

/** Until when each name's word holds, by this process's clock; what was said last is last. */
type Names = ReadonlyMap<string, number>;

/**
 * What the names that a Box may ask for have led to: the kernel's sets, written before an answer is given. Many answers at
 * a time are one transaction. An address stays for as long as any name has led there: which have is in the kernel's comments,
 * as far as those hold them, for the next daemon.
 */
export class Pins {
  readonly #netnsPath: string;
  #led = new Map<string, Names>();
  #waiting = new Map<string, Map<string, number>>();
  #next: Promise<void> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(netnsPath: string) {
    this.#netnsPath = netnsPath;
  }

  /** Resolves when the kernel has them for at least that long. */
  async add(name: string, addresses: readonly string[], ms: number): Promise<void> {
    const now = monotonicMs();
    const missing = addresses.filter((address) => (this.#led.get(address)?.get(name) ?? 0) < now + ms);
    if (missing.length === 0) return;
    for (const address of missing) {
      const names = this.#waiting.get(address) ?? new Map<string, number>();
      this.#waiting.set(address, names.set(name, ms * 2));
    }
    this.#next ??= this.#inTurn(() => this.#write());
    await this.#next;
  }

  /** Runs when what was asked for so far is written; what is asked for meanwhile is written after it. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    return await this.#inTurn(work);
  }

  /** The names whose word holds; undefined where this process knows nothing of the address. */
  namesOf(address: string): readonly string[] | undefined {
    const names = this.#led.get(address);
    if (names === undefined) return undefined;
    const now = monotonicMs();
    return [...names].filter(([, until]) => until >= now).map(([name]) => name);
  }

  /** The kernel has these and no others, and no other names lead to them any more. */
  keep(pins: readonly Pin[]): void {
    const now = monotonicMs();
    const kept = pins.map(({ address, names, ms }): [string, Names] => {
      const known = this.#led.get(address);
      return [address, new Map(names.map((name) => [name, known?.get(name) ?? now + ms]))];
    });
    this.#led = new Map(kept);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return await mine;
  }

  async #write(): Promise<void> {
    const [batch, now] = [this.#waiting, monotonicMs()];
    this.#waiting = new Map();
    this.#next = undefined;
    this.#dropOld(now);
    const written = [...batch].map(([address, names]): [string, Names] => {
      const all = new Map(this.#led.get(address));
      for (const [name, ms] of names) {
        all.delete(name); // it goes to the end
        all.set(name, now + ms);
      }
      return [address, new Map([...all].slice(-mostNames))];
    });
    await applyRules(this.#netnsPath, written.map((one) => pinText(...one, now)).join(""), neverAborted);
    for (const [address, names] of written) {
      if (this.#led.has(address) || this.#led.size < mostPins * 2) this.#led.set(address, names);
    }
  }

  #dropOld(now: number): void {
    for (const [address, names] of this.#led) {
      const left = [...names].filter(([, until]) => until >= now);
      if (left.length === 0) this.#led.delete(address);
      else if (left.length < names.size) this.#led.set(address, new Map(left));
    }
  }
}

/** Kernels before Linux 6.14 leave the time of an element that is there as it is: it goes and comes in one step. */
function pinText(address: string, names: Names, now: number): string {
  const family = addressOf(address)?.family;
  if (family === undefined) return "";
  const set = `${table} pins${String(family)}`;
  const said = commentOf([...names.keys()]);
  const comment = said === "" ? "" : ` comment "${said}"`;
  const seconds = Math.ceil((Math.max(...names.values()) - now) / 1000);
  const element = `{ ${address} timeout ${String(seconds)}s${comment} }`;
  return [
    `add element ${set} ${element}\n`,
    `delete element ${set} { ${address} }\n`,
    `add element ${set} ${element}\n`,
  ].join("");
}

/** As many of them as there is room for, the last first. */
function commentOf(names: readonly string[]): string {
  let text = "";
  for (const name of names.toReversed()) {
    const longer = text === "" ? name : `${text} ${name}`;
    if (longer.length <= longestComment) text = longer;
  }
  return text;
}

export function namesInComment(comment: string): readonly string[] {
  return comment.split(" ").filter((name) => name !== "");
}

/**
 * Of a name that is allowed no more. Connections to what a name has led to are known again by its pin; where none goes they
 * stay, those too that have outlived their pin.
 */
export function unpinText(addresses: readonly string[]): string {
  if (addresses.length === 0) return "";
  const flows = [4, 6].map((family) => `flush set ${table} flows${String(family)}\n`);
  const pins = addresses.flatMap((address) => {
    const family = addressOf(address)?.family;
    if (family === undefined) return [];
    const set = `${table} pins${String(family)}`;
    // One whose time has just come is not there to be deleted.
    return [`add element ${set} { ${address} timeout 1s }\n`, `delete element ${set} { ${address} }\n`];
  });
  return [...flows, ...pins].join("");
}
