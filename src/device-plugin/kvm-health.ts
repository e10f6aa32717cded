import { chmod, stat } from "node:fs/promises";
import { monotonicMs } from "../base/clock.js";
import { messageOf } from "../base/errors.js";
import { isThere } from "../base/is-there.js";
import type { Logger } from "../base/log.js";

/** Whether a guest runs here, and why not. */
export interface Verdict {
  readonly usable: boolean;
  /** One line. */
  readonly reason: string;
}

export interface KvmHealthOptions {
  readonly device: string;
  /** Let every user open it. */
  readonly chmodKvm: boolean;
  /** The launcher's: runs a guest, in a process and a time of its own. */
  readonly selfTest: () => Promise<Verdict>;
  readonly testEveryMs: number;
  readonly log: Logger;
}

const forAll = 0o666;
const permissionBits = 0o777;

/** What is known of the machine's KVM. A device that opens may still run no guest (docs/adr/0004). */
export class KvmHealth {
  readonly #options: KvmHealthOptions;
  #verdict: Verdict = { usable: false, reason: "not tried yet" };
  #testedMs: number | undefined;

  constructor(options: KvmHealthOptions) {
    this.#options = options;
  }

  get verdict(): Verdict {
    return this.#verdict;
  }

  /** Looks whether the device is there, and now and then whether it runs a guest. True where the verdict is another. */
  async look(): Promise<boolean> {
    const before = this.#verdict;
    const { device, log } = this.#options;
    try {
      this.#verdict = await this.#found();
    } catch (thrown) {
      this.#testedMs = undefined;
      this.#verdict = { usable: false, reason: messageOf(thrown) };
    }
    const { usable, reason } = this.#verdict;
    if (usable === before.usable && reason === before.reason) return false;
    if (usable) log.info({ device, reason }, "KVM can be given to pods");
    else log.warn({ device, reason }, "KVM can't be given to pods: its devices are unhealthy");
    return true;
  }

  async #found(): Promise<Verdict> {
    const { device, selfTest, testEveryMs } = this.#options;
    if (!(await isThere(device))) {
      this.#testedMs = undefined; // whatever comes back is tried at once
      return { usable: false, reason: `there is no ${device}` };
    }
    await this.#openToAll();
    if (this.#testedMs !== undefined && monotonicMs() - this.#testedMs < testEveryMs) return this.#verdict;
    const verdict = await selfTest();
    this.#testedMs = monotonicMs();
    return verdict;
  }

  /** Each time: udev gives a device its mode when it comes, and when its rules are read anew. */
  async #openToAll(): Promise<void> {
    const { device, chmodKvm, log } = this.#options;
    if (!chmodKvm) return;
    const { mode } = await stat(device);
    if ((mode & forAll) === forAll) return;
    await chmod(device, (mode & permissionBits) | forAll);
    log.warn(
      { device, was: `0${(mode & permissionBits).toString(8)}` },
      "every user of the node may open the device now",
    );
  }
}
