/** Connections that are open, and whose: a Box has its share of them and no more, and none stands idle for ever. */
import type { Duplex } from "node:stream";
import { monotonicMs } from "../base/clock.js";
import type { LlmBox } from "./box.js";

export interface CrowdLimits {
  readonly connections: number;
  readonly connectionsOfBox: number;
  /** Without a request. */
  readonly idleMs: number;
}

export interface OpenConnection {
  readonly box: LlmBox;
  /** Requests under way. */
  running: number;
  idleSinceMs: number;
}

export class Crowd {
  readonly #limits: CrowdLimits;
  readonly #open = new Map<Duplex, OpenConnection>();
  readonly #ofBox = new Map<string, number>();
  readonly #sweep: NodeJS.Timeout;

  constructor(limits: CrowdLimits) {
    this.#limits = limits;
    this.#sweep = setInterval(
      () => {
        this.#endIdle();
      },
      Math.max(50, limits.idleMs / 4),
    ).unref();
  }

  /** False: there is no room, and it is closed. */
  enter(socket: Duplex, box: LlmBox): boolean {
    const own = this.#ofBox.get(box.id) ?? 0;
    if (own >= this.#limits.connectionsOfBox || this.#open.size >= this.#limits.connections) {
      socket.on("error", () => undefined);
      socket.destroy();
      return false;
    }
    this.#open.set(socket, { box, running: 0, idleSinceMs: monotonicMs() });
    this.#ofBox.set(box.id, own + 1);
    socket.once("close", () => {
      this.#leave(socket, box.id);
    });
    return true;
  }

  of(socket: Duplex): OpenConnection | undefined {
    return this.#open.get(socket);
  }

  close(): void {
    clearInterval(this.#sweep);
    for (const socket of this.#open.keys()) socket.destroy();
  }

  #leave(socket: Duplex, boxId: string): void {
    this.#open.delete(socket);
    const left = (this.#ofBox.get(boxId) ?? 0) - 1;
    if (left > 0) this.#ofBox.set(boxId, left);
    else this.#ofBox.delete(boxId);
  }

  #endIdle(): void {
    const beforeMs = monotonicMs() - this.#limits.idleMs;
    for (const [socket, { idleSinceMs, running }] of this.#open) {
      if (running === 0 && idleSinceMs < beforeMs) socket.destroy();
    }
  }
}
