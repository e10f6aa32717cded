import type { Socket } from "node:net";

export interface CrowdLimits {
  readonly inAll: number;
  readonly ofPeer: number;
}

interface Peer {
  /** Has made no request yet that was let in; oldest first. */
  readonly waiting: Set<Member>;
  readonly heard: Set<Member>;
}

/** One connection among all. */
export interface Member {
  /** It has turned out whose it is; false: that one has no more room. */
  belongsTo(peer: string): boolean;
  /** It is known who has made a request by it: nobody pushes it out any more. */
  heard(): void;
}

/**
 * How many may be connected, in all and for each peer. Where there are too many, those go first of which nobody knows who has
 * made a request, of whoever has the most of them, the oldest first: a thousand that say nothing keep nobody out.
 */
export class Crowd {
  readonly #limits: CrowdLimits;
  readonly #peers = new Map<string, Peer>();
  readonly #sockets = new Map<Member, Socket>();

  constructor(limits: CrowdLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** Undefined: there is no room for it. It leaves when it is closed. */
  enter(socket: Socket, peer: string): Member | undefined {
    if (!this.#makesRoom(peer, true)) return undefined;
    let of = peer;
    const member: Member = {
      belongsTo: (other) => {
        if (other === of) return true;
        if (!this.#makesRoom(other, false)) return false;
        this.#leave(member, of);
        of = other;
        this.#peerOf(of).waiting.add(member);
        return true;
      },
      heard: () => {
        const own = this.#peers.get(of);
        if (own?.waiting.delete(member) === true) own.heard.add(member);
      },
    };
    this.#sockets.set(member, socket);
    this.#peerOf(of).waiting.add(member);
    socket.once("close", () => {
      this.#sockets.delete(member);
      this.#leave(member, of);
    });
    return member;
  }

  #peerOf(name: string): Peer {
    const peer = this.#peers.get(name) ?? { waiting: new Set(), heard: new Set() };
    this.#peers.set(name, peer);
    return peer;
  }

  #leave(member: Member, name: string): void {
    const { waiting, heard } = this.#peerOf(name);
    waiting.delete(member);
    heard.delete(member);
    if (waiting.size + heard.size === 0) this.#peers.delete(name);
  }

  #makesRoom(name: string, isNew: boolean): boolean {
    const own = this.#peers.get(name);
    if (own !== undefined && own.waiting.size + own.heard.size >= this.#limits.ofPeer) return this.#pushOut(name, own);
    if (!isNew || this.#sockets.size < this.#limits.inAll) return true;
    const [largest] = [...this.#peers].sort(([, one], [, other]) => other.waiting.size - one.waiting.size);
    return largest !== undefined && this.#pushOut(...largest);
  }

  /** The one that has waited longest; it leaves at once, and is closed a little later. */
  #pushOut(name: string, { waiting }: Peer): boolean {
    for (const member of waiting) {
      const socket = this.#sockets.get(member);
      this.#sockets.delete(member);
      this.#leave(member, name);
      socket?.destroy();
      return true;
    }
    return false;
  }
}
