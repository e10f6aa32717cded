import { monotonicMs } from "../../base/clock.js";
import { neverAborted } from "../../base/signals.js";
import { applyRules } from "./nft.js";
import { addressOf } from "./ranges.js";
import { mostPins, table } from "./ruleset.js";

/** A comment of an element may have that many bytes. */
const longestComment = 120;

/**
 * What the names that a Box may ask for have led to: the kernel's sets, written before an answer is given. Many answers at
 * a time are one transaction.
 */
export class Pins {
  readonly #netnsPath: string;
  /** Until when the kernel has it, by this process's clock. */
  readonly #until = new Map<string, number>();
  #waiting = new Map<string, { readonly name: string; readonly ms: number }>();
  #next: Promise<void> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(netnsPath: string) {
    this.#netnsPath = netnsPath;
  }

  /** Resolves when the kernel has them for at least that long. */
  async add(name: string, addresses: readonly string[], ms: number): Promise<void> {
    const now = monotonicMs();
    const missing = addresses.filter((address) => (this.#until.get(address) ?? 0) < now + ms);
    if (missing.length === 0) return;
    for (const address of missing) this.#waiting.set(address, { name, ms: ms * 2 });
    this.#next ??= this.#last.then(() => this.#write());
    await this.#next;
  }

  /** Resolves when nothing of what was asked for so far is still to be written. */
  async idle(): Promise<void> {
    await (this.#next ?? this.#last).catch(() => undefined);
    await this.#last;
  }

  /** What the kernel has may have changed: nothing is known. */
  forget(): void {
    this.#until.clear();
  }

  async #write(): Promise<void> {
    const [batch, now] = [this.#waiting, monotonicMs()];
    this.#waiting = new Map();
    this.#next = undefined;
    for (const [address, until] of this.#until) if (until < now) this.#until.delete(address);
    const written = applyRules(this.#netnsPath, pinText(batch), neverAborted);
    this.#last = written.catch(() => undefined);
    await written;
    for (const [address, { ms }] of batch) {
      if (this.#until.size < mostPins * 2) this.#until.set(address, now + ms);
    }
  }
}

/** Kernels before Linux 6.14 leave the time of an element that is there as it is: it goes and comes in one step. */
function pinText(batch: ReadonlyMap<string, { readonly name: string; readonly ms: number }>): string {
  const lines: string[] = [];
  for (const [address, { name, ms }] of batch) {
    const family = addressOf(address)?.family;
    if (family === undefined) continue;
    const set = `${table} pins${String(family)}`;
    const comment = name.length <= longestComment ? ` comment "${name}"` : "";
    const element = `{ ${address} timeout ${String(Math.ceil(ms / 1000))}s${comment} }`;
    lines.push(
      `add element ${set} ${element}`,
      `delete element ${set} { ${address} }`,
      `add element ${set} ${element}`,
    );
  }
  return `${lines.join("\n")}\n`;
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
