import { messageOf } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import type { Native } from "../native/addon.js";

/** What the service manager has put into the environment (sd_notify(3), sd_watchdog_enabled(3)). */
interface Environment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly WATCHDOG_USEC?: string | undefined;
  readonly WATCHDOG_PID?: string | undefined;
}

/** The service manager that has started the daemon; nobody is told anything where there is none. */
export class Supervisor {
  readonly #socket: string | undefined;
  readonly #watchdogMs: number | undefined;
  readonly #native: Pick<Native, "notifySocket">;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;

  constructor(native: Pick<Native, "notifySocket">, log: Logger, environment: Environment = process.env) {
    const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = environment;
    this.#native = native;
    this.#log = log;
    this.#socket = socket !== undefined && /^[/@]/.test(socket) ? socket : undefined;
    const ours = pid === undefined || pid === String(process.pid);
    const ms = Number(usec) / 1000;
    this.#watchdogMs = ours && Number.isFinite(ms) && ms >= 1 ? ms : undefined;
  }

  /** CRI is served. From now on the watchdog hears from us as long as the event loop turns. */
  ready(): void {
    this.#tell("READY=1");
    if (this.#socket === undefined || this.#watchdogMs === undefined) return;
    // Half the time that the manager waits, as sd_watchdog_enabled(3) recommends.
    this.#timer = setInterval(() => {
      this.#tell("WATCHDOG=1");
    }, this.#watchdogMs / 2);
    this.#timer.unref();
  }

  /** Calls under way are waited for: `TimeoutStopSec` of the unit is the limit, and the watchdog still hears from us. */
  stopping(): void {
    this.#tell("STOPPING=1");
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tell(text: string): void {
    if (this.#socket === undefined) return;
    try {
      this.#native.notifySocket(this.#socket, text);
    } catch (thrown) {
      this.#log.warn({ socket: this.#socket, err: messageOf(thrown) }, "the service manager can't be told");
    }
  }
}
