/**
 * The user namespace in which layers are unpacked: its root is nobody on the host, so whoever takes an unpacker over and
 * leaves its jail besides is nobody there either (docs/adr/0088).
 */
import { messageOf } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { Native } from "../../native/addon.js";

/** The host's ids from here on, which no user of the host has; all layers share them, for none lives longer than its pull. */
export const usersRoot = 2 ** 31;
/** unpacker/limits.h, kOwners. */
const usersCount = 2 ** 31 - 1;

/** The descriptor is the caller's to close. */
export async function openUsers(native: Native): Promise<number> {
  return await native.openUserNamespace({ extents: [{ inside: 0, outside: usersRoot, count: usersCount }] });
}

/** As long as this machine and the store's file system can. */
export class UnpackersUsers {
  readonly #native: Native;
  readonly #log: Logger;
  #lacking = false;

  constructor(native: Native, log: Logger) {
    this.#native = native;
    this.#log = log;
  }

  /** Undefined where there are none: then root in the jail is the host's, as far as its capabilities go. */
  async open(): Promise<number | undefined> {
    if (this.#lacking) return undefined;
    try {
      return await openUsers(this.#native);
    } catch (thrown) {
      this.lack(messageOf(thrown));
      return undefined;
    }
  }

  /** Said once. */
  lack(why: string): void {
    if (!this.#lacking) this.#log.warn({ err: why }, "layers are unpacked without a user namespace: `check` says more");
    this.#lacking = true;
  }
}
