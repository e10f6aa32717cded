/** TLS on a connection that has said it wants it; the certificate is read again when its files change. */
import { readFile, stat } from "node:fs/promises";
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { monotonicMs } from "../../base/clock.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { SandboxPortTls } from "../../config/sandboxes-listen.js";

/** Files are looked at again after that. */
const freshMs = 1000;

export class TlsDoor {
  readonly #files: SandboxPortTls;
  readonly #server: Server;
  readonly #log: Logger;
  readonly #waiting = new Map<string, (inside: TLSSocket | Error) => void>();
  #version: string;
  #lookedAtMs = monotonicMs();

  private constructor(files: SandboxPortTls, material: Material, handshakeMs: number, log: Logger) {
    this.#files = files;
    this.#log = log;
    this.#version = material.version;
    this.#server = createServer({
      ...material.pem,
      minVersion: "TLSv1.2",
      // The first that the client knows, too: those of gRPC know HTTP/2 alone, and all others shall not speak it here.
      ALPNProtocols: ["http/1.1", "h2"],
      handshakeTimeout: handshakeMs,
      // Who has none may have a token.
      requestCert: files.clientCaFile !== undefined,
      rejectUnauthorized: false,
    });
    this.#server.on("secureConnection", (socket) => {
      this.#waiting.get(nameOf(socket))?.(socket);
    });
    this.#server.on("tlsClientError", (error, socket) => {
      this.#waiting.get(nameOf(socket))?.(error);
    });
  }

  static async open(files: SandboxPortTls, handshakeMs: number, log: Logger): Promise<TlsDoor> {
    try {
      return new TlsDoor(files, await materialOf(files), handshakeMs, log);
    } catch (cause) {
      throw new RuntimeError("invalidArgument", messageOf(cause), {
        stage: "TLS of the sandboxes' port",
        hint: "check sandboxes.tls_cert_file, sandboxes.tls_key_file and sandboxes.client_ca_file",
        cause,
      });
    }
  }

  /** What is inside; throws why there is nothing, and the connection is closed. `outside` has not been read from. */
  async enter(outside: Socket): Promise<TLSSocket> {
    await this.#refresh();
    const name = nameOf(outside);
    return await new Promise((resolve, reject) => {
      const settle = (inside: TLSSocket | Error): void => {
        this.#waiting.delete(name);
        outside.off("close", gone);
        if (!(inside instanceof Error)) resolve(inside);
        else {
          outside.destroy();
          reject(inside);
        }
      };
      const gone = (): void => {
        settle(new RuntimeError("canceled", "the client has gone"));
      };
      this.#waiting.set(name, settle);
      outside.once("close", gone);
      this.#server.emit("connection", outside);
    });
  }

  /** Those that can't be used leave what there is. */
  async #refresh(): Promise<void> {
    if (monotonicMs() - this.#lookedAtMs < freshMs) return;
    this.#lookedAtMs = monotonicMs();
    try {
      if ((await versionOf(this.#files)) === this.#version) return;
      const { pem, version } = await materialOf(this.#files);
      this.#version = version;
      this.#server.setSecureContext({ ...pem, minVersion: "TLSv1.2" });
      this.#log.info({ file: this.#files.certFile }, "certificate read again");
    } catch (thrown) {
      this.#log.warn(
        { file: this.#files.certFile, err: messageOf(thrown) },
        "can't use the certificate that is there now",
      );
    }
  }
}

interface Material {
  readonly pem: { readonly cert: Buffer; readonly key: Buffer; readonly ca?: Buffer };
  readonly version: string;
}

async function materialOf(files: SandboxPortTls): Promise<Material> {
  const version = await versionOf(files); // before they are read: a change in between is seen by the next look
  const [cert, key] = await Promise.all([readFile(files.certFile), readFile(files.keyFile)]);
  const ca = files.clientCaFile === undefined ? {} : { ca: await readFile(files.clientCaFile) };
  return { pem: { cert, key, ...ca }, version };
}

async function versionOf({ certFile, keyFile, clientCaFile }: SandboxPortTls): Promise<string> {
  const files = [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])];
  const stats = await Promise.all(files.map((file) => stat(file)));
  return stats.map(({ dev, ino, size, mtimeMs, ctimeMs }) => [dev, ino, size, mtimeMs, ctimeMs].join(" ")).join(", ");
}

/** No two connections have the same at one time. */
function nameOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return [localAddress, localPort, remoteAddress, remotePort].map(String).join(" ");
}

/** The name in a client's certificate that one of our authorities vouches for. */
export function certifiedName(socket: TLSSocket): string | undefined {
  if (!socket.authorized) return undefined;
  const name: unknown = socket.getPeerCertificate().subject.CN;
  return typeof name === "string" ? name : undefined;
}
