import type { MachineDriver } from "../driver-name.js";
import { keyOf, type PoolClass } from "./pool-class.js";

/** The keys of this daemon's classes, which take a look at the programs that make a machine; each is looked at once. */
export class ClassKeys {
  readonly #tap: string | null;
  readonly #identityOf: (driver: MachineDriver) => Promise<string>;
  readonly #identities = new Map<MachineDriver, Promise<string>>();

  constructor(tap: string | null, identityOf: (driver: MachineDriver) => Promise<string>) {
    this.#tap = tap;
    this.#identityOf = identityOf;
  }

  async of(of: PoolClass): Promise<string> {
    const known = this.#identities.get(of.driver) ?? this.#identityOf(of.driver);
    this.#identities.set(of.driver, known);
    known.catch(() => this.#identities.delete(of.driver)); // asked again the next time
    return keyOf(of, this.#tap, await known);
  }

  /** Undefined: none of these has it. */
  async classWith(key: string | undefined, classes: readonly PoolClass[]): Promise<PoolClass | undefined> {
    for (const of of classes) if ((await this.of(of)) === key) return of;
    return undefined;
  }
}
