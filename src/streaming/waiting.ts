import type { Socket } from "node:net";

/**
 * Beyond these the oldest go. More than the kernel holds ready for one accept loop (listen(2), a backlog of 511): whoever
 * sends its request at once has been heard before so many have come after it.
 */
const most = 1000;
/** A client of kubelet's has its URL already when it connects. */
const longestMs = 5_000;

interface Connection {
  readonly socket: Socket;
  readonly timer: NodeJS.Timeout;
}

/**
 * Connections that have not shown a token yet. Any local user can open them: they are few, none of them for long, and where
 * there are too many, those go of whoever has the most, the oldest first. One that has shown a token is nobody else's to
 * push out.
 */
export class Waiting {
  readonly #bySource = new Map<string, Map<number, Connection>>();
  readonly #limitMs: number;
  #count = 0;

  constructor(limitMs = longestMs) {
    this.#limitMs = limitMs;
  }

  /** A connection, as it comes. */
  add(socket: Socket): void {
    const { remoteAddress: source = "", remotePort: port = 0 } = socket;
    const timer = setTimeout(() => {
      socket.destroy();
    }, this.#limitMs);
    timer.unref();
    const ofSource = this.#bySource.get(source) ?? new Map<number, Connection>();
    this.#bySource.set(source, ofSource);
    ofSource.set(port, { socket, timer });
    this.#count++;
    socket.once("close", () => {
      this.remove(source, port);
    });
    if (this.#count > most) this.#pushOut();
  }

  /** It has shown its token, or has gone. */
  remove(source = "", port = 0): void {
    const ofSource = this.#bySource.get(source);
    const found = ofSource?.get(port);
    if (ofSource === undefined || found === undefined) return;
    clearTimeout(found.timer);
    ofSource.delete(port);
    if (ofSource.size === 0) this.#bySource.delete(source);
    this.#count--;
  }

  #pushOut(): void {
    const [largest] = [...this.#bySource].sort(([, one], [, other]) => other.size - one.size);
    if (largest === undefined) return;
    const [source, ofSource] = largest;
    for (const [port, { socket }] of ofSource) {
      this.remove(source, port);
      socket.destroy();
      return;
    }
  }
}
