/** Where each connection comes in: counted, known by who it is, and given to what it speaks. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { messageOf } from "../../base/errors.js";
import { descriptorOf } from "../../base/unix-socket.js";
import type { ListenerKind } from "../../metrics/port-figures.js";
import { refuse } from "../../streaming/refuse.js";
import type { Connection } from "./connection.js";
import { Crowd, type Member } from "./crowd.js";
import { GrpcEdge } from "./grpc/edge.js";
import { Health, healthPaths } from "./grpc/health.js";
import { reflection } from "./grpc/reflection.js";
import { whatIsSpoken } from "./http/answers.js";
import { HttpEdge } from "./http/edge.js";
import type { DoorLimits, SandboxPortOptions } from "./options.js";
import { peek } from "./peek.js";
import { Refused } from "./refused.js";
import { certifiedName, TlsDoor } from "./tls-door.js";
import { localTenant, type Known } from "./who/known.js";
import { peerOf } from "./who/peer.js";
import { Tokens } from "./who/tokens.js";

const usualLimits: DoorLimits = {
  firstBytesMs: 10_000,
  headersMs: 10_000,
  bodyIdleMs: 300_000,
  readerIdleMs: 300_000,
  keepAliveMs: 75_000,
  lingerMs: 5_000,
  idleMs: 600_000,
  lifeSignMs: 60_000,
};

/** Of what is left of the grace, for those that were told to end. */
const lastPart = 0.2;
const probeMs = 60_000;

export interface DoorListener {
  readonly kind: "tcp" | "unix" | "vsock";
  /** Nobody else than this machine gets to it. */
  readonly loopback: boolean;
  /** Of one connection, where its socket does not know: "vsock 3". */
  readonly source?: string;
}

/** One that has come by a listener of this machine. */
interface Incoming extends Connection {
  readonly socket: Socket;
}

export class Door {
  readonly #options: SandboxPortOptions;
  readonly #limits: DoorLimits;
  readonly #crowd: Crowd;
  readonly #refused: Refused;
  readonly #tokens: Tokens;
  readonly #tls: TlsDoor | undefined;
  readonly #health: Health;
  readonly #http: HttpEdge;
  readonly #grpc: GrpcEdge;
  readonly #sockets = new Set<Socket>();
  #isClosing = false;

  private constructor(options: SandboxPortOptions, tls: TlsDoor | undefined) {
    const { config, figures, log, protocolsGrpc, protocolsHttp: protocols } = options;
    this.#options = options;
    this.#tls = tls;
    this.#limits = { ...usualLimits, ...options.limits };
    this.#crowd = new Crowd({ inAll: config.maxConnections, ofPeer: config.maxConnectionsOfPeer });
    this.#refused = new Refused(log, figures);
    this.#tokens = new Tokens(config.tokens, log);
    const health = (): string | undefined => (this.#isClosing ? "shutting down" : options.health());
    this.#health = new Health(health, protocolsGrpc);
    const tell = this.#refused.tell.bind(this.#refused);
    const judging = { rules: config, tokens: this.#tokens, tell, figures, limits: this.#limits };
    this.#http = new HttpEdge({ ...judging, protocols, health, log });
    const services = [...protocolsGrpc, this.#health, ...reflection([...protocolsGrpc, this.#health])];
    this.#grpc = new GrpcEdge({ ...judging, services, anybody: healthPaths });
  }

  static async open(options: SandboxPortOptions): Promise<Door> {
    const { config, limits, log } = options;
    const handshakeMs = limits?.firstBytesMs ?? usualLimits.firstBytesMs;
    return new Door(options, config.tls === undefined ? undefined : await TlsDoor.open(config.tls, handshakeMs, log));
  }

  /** A connection, as it comes. */
  async welcome(socket: Socket, listener: DoorListener): Promise<void> {
    socket.on("error", () => undefined); // "close" follows
    const member = this.#isClosing ? undefined : this.#crowd.enter(socket, sourceOf(socket, listener));
    if (member === undefined) {
      if (!this.#isClosing) this.#refused.tell("room", sourceOf(socket, listener), "too many are connected");
      refuse(socket, 503, "too many are connected; try again later");
      return;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    if (listener.kind === "tcp") {
      socket.setNoDelay(true);
      socket.setKeepAlive(true, probeMs);
    }
    try {
      await this.#letIn(socket, listener, member);
    } catch (thrown) {
      this.#options.log.error({ err: messageOf(thrown) }, "a connection failed");
      socket.destroy();
    }
  }

  /** Takes nobody new; who is served may end within the time. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    this.#health.close();
    const stop = new AbortController();
    const timer = setTimeout(
      () => {
        stop.abort();
      },
      graceMs * (1 - lastPart),
    );
    let last: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      last = setTimeout(resolve, graceMs);
    });
    await Promise.race([Promise.all([this.#http.close(stop.signal), this.#grpc.close(stop.signal)]), over]);
    clearTimeout(timer);
    clearTimeout(last);
    stop.abort();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #letIn(socket: Socket, listener: DoorListener, member: Member): Promise<void> {
    const from = sourceOf(socket, listener);
    const known = await this.#knownBy(socket, listener);
    if (known.kind === "caller" && listener.kind === "unix" && !member.belongsTo(`tenant ${known.caller.tenant}`)) {
      this.#refused.tell("room", known.caller.name, "its tenant has too many connections");
      refuse(socket, 503, "your tenant has too many connections; close some");
      return;
    }
    const spoken = await peek(socket, this.#limits.firstBytesMs);
    const name = known.kind === "caller" && listener.kind === "unix" ? known.caller.name : from;
    const open = listener.kind === "tcp" && known.kind === "caller";
    const heard = member.heard.bind(member);
    if (spoken !== "tls" || this.#tls === undefined || listener.kind !== "tcp") {
      const isInClear = listener.loopback || this.#options.config.plain;
      if (!isInClear && this.#tls !== undefined && spoken !== undefined && spoken !== "silent") {
        this.#refused.tell("tls", from, "no TLS");
        refuse(socket, 400, "this port speaks TLS: use https, or TLS credentials of gRPC");
        return;
      }
      this.#hand({ socket, listener: listener.kind, known, from: name, open, heard }, spoken);
      return;
    }
    await this.#throughTls(this.#tls, { socket, listener: "tls", known, from, open, heard });
  }

  async #knownBy(socket: Socket, { kind }: DoorListener): Promise<Known> {
    const { config, native, pods } = this.#options;
    if (kind === "vsock") return { kind: "token" }; // its other end says no more than a number of a machine
    if (kind === "tcp") {
      if (this.#tokens.areThere) return { kind: "token" };
      return { kind: "caller", caller: { tenant: localTenant, name: "loopback" } };
    }
    const fd = descriptorOf(socket);
    if (fd !== undefined) return await peerOf(fd, { native, pods, callers: config.unixCallers });
    socket.destroy(); // it has gone already
    return { kind: "token" };
  }

  async #throughTls(tls: TlsDoor, connection: Incoming): Promise<void> {
    let socket: TLSSocket;
    try {
      socket = await tls.enter(connection.socket);
    } catch (thrown) {
      this.#refused.tell("tls", connection.from, messageOf(thrown));
      return;
    }
    socket.on("error", () => undefined);
    const owner = certifiedName(socket);
    const certified = owner === undefined ? undefined : this.#tokens.certified(owner);
    const known: Known = certified === undefined ? connection.known : { kind: "caller", caller: certified };
    const spoken = socket.alpnProtocol === "h2" ? "http2" : await peek(socket, this.#limits.firstBytesMs);
    if (spoken === "http2") socket.alpnProtocol = "h2"; // also of a client that knows without asking
    this.#hand({ ...connection, socket, known }, spoken);
  }

  #hand(connection: Incoming, spoken: Awaited<ReturnType<typeof peek>>): void {
    const { socket, from, listener } = connection;
    if (spoken === undefined) return;
    if (spoken === "silent") {
      this.#refused.tell("silent", from, "no request came");
      return;
    }
    if (spoken === "http1" || spoken === "http2") {
      this.#count(socket, listener);
      (spoken === "http1" ? this.#http : this.#grpc).take(connection);
      return;
    }
    this.#refused.tell("bytes", from, spoken === "tls" ? "TLS, where none is spoken" : "neither HTTP nor gRPC");
    // Bytes that are no TLS are what clients of it tell their user of: Go's says that this was HTTP.
    refuse(socket, 400, spoken === "tls" ? `no TLS here: ${whatIsSpoken}` : whatIsSpoken);
  }

  #count(socket: Socket, listener: ListenerKind): void {
    socket.once("close", this.#options.figures.connected(listener));
  }
}

/** Whose connections are counted together before more is known. */
function sourceOf(socket: Socket, { kind, source }: DoorListener): string {
  return kind === "unix" ? "unix" : (source ?? socket.remoteAddress ?? "gone");
}
