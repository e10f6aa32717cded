/** All that is for one sandbox: by the headers of the SDKs, by the name of the host, or by the port of debug mode. */
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import type { SandboxView } from "../core/sandbox.js";
import type { HttpProtocol, HttpRequest } from "../listen/protocol.js";
import { granted, type Granted } from "./access.js";
import { sendNothing, sendRefusal, sendRestError } from "./answer.js";
import { sendConnectError } from "./connect/method.js";
import { DebugSandboxes } from "./debug-sandboxes.js";
import { Envd } from "./envd.js";
import { connectError, restError } from "./errors.js";
import type { Watchers } from "./filesystem/watchers.js";
import { envdPort, type E2bOptions } from "./options.js";
import { PortClosed, proxyHttp, proxyUpgrade, type Target } from "./proxy/proxy.js";

/** What the SDKs call the sandbox that they have not made. */
const debugName = "debug_sandbox_id";

interface Place {
  readonly id: string;
  readonly port: number;
}

export class DataPlane implements HttpProtocol {
  readonly name = "e2b data plane";
  readonly #options: E2bOptions;
  readonly #envd: Envd;
  readonly #debug: DebugSandboxes | undefined;

  constructor(options: E2bOptions, watchers: Watchers) {
    this.#options = options;
    this.#envd = new Envd(options, watchers);
    const { debugSandbox, sandboxes } = options;
    this.#debug = debugSandbox === undefined ? undefined : new DebugSandboxes(sandboxes, debugSandbox);
  }

  takes(request: HttpRequest): boolean {
    return this.#debugPort(request) !== undefined || named(request) !== undefined;
  }

  async handle(request: HttpRequest, response: ServerResponse): Promise<void> {
    let id = request.address?.id ?? "";
    try {
      const place = await this.#place(request);
      ({ id } = place);
      if (place.port === envdPort && request.method === "GET" && request.url.pathname === "/health") {
        this.#healthy(place.id, response);
        return;
      }
      const may = this.#enter(request, place);
      if (place.port === envdPort) await this.#envd.handle(may, request, response);
      else await proxyHttp(this.#target(may, place), request, response);
    } catch (thrown) {
      this.#refuse(id, thrown, request, response);
    }
  }

  async upgrade(request: HttpRequest, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => undefined); // a client that has gone needs no answer
    let id = request.address?.id ?? "";
    try {
      const place = await this.#place(request);
      ({ id } = place);
      if (place.port === envdPort) throw new RuntimeError("invalidArgument", "envd has nothing to upgrade to");
      await proxyUpgrade(this.#target(this.#enter(request, place), place), request, socket, head);
    } catch (thrown) {
      const { status, body } = this.#outside(id, thrown) ?? {
        status: restError(thrown, this.#options.log).code,
        body: restError(thrown, this.#options.log),
      };
      const text = JSON.stringify(body);
      const lines = [
        "content-type: application/json",
        `content-length: ${Buffer.byteLength(text)}`,
        "connection: close",
      ];
      socket.end(`HTTP/1.1 ${status} Refused\r\n${lines.join("\r\n")}\r\n\r\n${text}`, () => {
        socket.destroy(); // its other half would stay open for as long as the client likes
      });
    }
  }

  /** Anybody may ask whether one is there whose name he has. */
  #healthy(id: string, response: ServerResponse): void {
    mustRun(found(() => this.#options.sandboxes.held(id)));
    sendNothing(response);
  }

  #enter(request: HttpRequest, { id, port }: Place): Granted {
    const may = found(() => granted(this.#options.sandboxes, request, id, port));
    mustRun(may.view);
    return may;
  }

  #target(may: Granted, { port }: Place): Target {
    return { sandboxes: this.#options.sandboxes, granted: may, port };
  }

  async #place(request: HttpRequest): Promise<Place> {
    const port = this.#debugPort(request);
    if (port !== undefined && this.#debug !== undefined) {
      return { id: await this.#debug.of(request.caller, request.signal), port };
    }
    const place = named(request);
    if (place === undefined) throw new SandboxGone(undefined);
    return place;
  }

  /** The sandbox's, where the request is for the one of debug mode. */
  #debugPort({ address, message }: HttpRequest): number | undefined {
    const ports = this.#options.debugSandbox?.ports ?? [];
    const isDebug = address?.id === debugName || message.headers["e2b-sandbox-id"] === debugName;
    if (address !== undefined && !isDebug) return undefined;
    const { localPort } = message.socket;
    return ports.find((port) => port === (address?.port ?? localPort)) ?? ports.find((port) => port === localPort);
  }

  #refuse(id: string, thrown: unknown, request: HttpRequest, response: ServerResponse): void {
    if (request.signal.aborted) {
      response.destroy();
      return;
    }
    const outside = this.#outside(id, thrown);
    if (outside !== undefined && !response.headersSent) {
      sendRefusal(request.message, response, outside.status, outside.body);
    } else if (/^\/[a-z]+\.[A-Z]\w+\//.test(request.url.pathname)) {
      sendConnectError({ request, response }, connectError(thrown, this.#options.log));
    } else sendRestError(request.message, response, restError(thrown, this.#options.log));
  }

  /** Of whoever routes to sandboxes, in the words that the SDKs look for. */
  #outside(id: string, thrown: unknown): { status: number; body: unknown } | undefined {
    if (thrown instanceof PortClosed) {
      return { status: 502, body: { sandboxId: id, message: thrown.message, port: thrown.port, code: 502 } };
    }
    if (!(thrown instanceof SandboxGone)) return undefined;
    return { status: 502, body: { sandboxId: id, message: messageOf(thrown), code: 502 } };
  }
}

/** There is none of that name for who asks. */
class SandboxGone extends RuntimeError {
  constructor(cause: unknown) {
    super("notFound", "The sandbox was not found", { cause });
  }
}

function found<T>(look: () => T): T {
  try {
    return look();
  } catch (thrown) {
    throw codeOf(thrown) === "notFound" ? new SandboxGone(thrown) : thrown;
  }
}

/** To its clients one that is paused is as gone, until it is resumed. */
function mustRun({ state }: SandboxView): void {
  if (state === "paused" || state === "ended") throw new SandboxGone(undefined);
}

/** agent-sandbox's headers name a sandbox too: those requests are for its own protocol. */
function named({ address, message }: HttpRequest): Place | undefined {
  if (address === undefined) return undefined;
  const ours = message.headers["e2b-sandbox-id"] !== undefined;
  if (!ours && (address.port === undefined || message.headers["x-sandbox-id"] !== undefined)) return undefined;
  return { id: address.id, port: address.port ?? envdPort };
}
