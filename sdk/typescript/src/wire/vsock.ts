/**
 * Node can't connect to a vsock. A helper program can: one is started for each connection, behind a Unix socket of this
 * process' own, in a directory that nobody else enters.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream";

const usualHelper = ["socat", "-", "VSOCK-CONNECT:{cid}:{port}"];
const mostWords = 400;

export interface VsockPlace {
  readonly cid: number;
  readonly port: number;
  readonly helper?: readonly string[] | undefined;
}

export class VsockBridge {
  /** Of the socket. */
  readonly path: string;
  readonly #directory: string;
  readonly #server: Server;
  readonly #children = new Set<ChildProcess>();
  readonly #forget: () => void;
  /** What the last helper that failed has said. */
  #said: string | undefined;
  /** Rejects when a helper fails: the next one will not fare better at once. */
  readonly failed: Promise<never>;
  #fail: (thrown: Error) => void = () => undefined;

  private constructor(directory: string, server: Server) {
    this.#directory = directory;
    this.#server = server;
    this.path = join(directory, "s");
    this.#forget = () => {
      rmSync(directory, { recursive: true, force: true });
    };
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined); // whoever opens it waits for that, and nobody later
    process.once("exit", this.#forget);
  }

  static async open({ cid, port, helper }: VsockPlace): Promise<VsockBridge> {
    const [program = "", ...args] = (helper ?? usualHelper).map((word) =>
      word.replaceAll("{cid}", String(cid)).replaceAll("{port}", String(port)),
    );
    const directory = mkdtempSync(join(tmpdir(), "a3s-vsock-"));
    const server = createServer({ allowHalfOpen: true });
    const bridge = new VsockBridge(directory, server);
    server.on("connection", (socket) => {
      bridge.#join(socket, program, args);
    });
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(bridge.path, resolve);
      });
    } catch (thrown) {
      bridge.close();
      throw thrown;
    }
    server.unref();
    return bridge;
  }

  /** Why there is no connection, as far as the helper says it. */
  explain(): string {
    const said = this.#said ?? "no connection came about";
    const hint = "install socat, name another helper by the option vsockHelper, or use a Unix socket or TCP";
    return `Node can't dial a vsock by itself, and its helper failed: ${said} (${hint})`;
  }

  close(): void {
    process.off("exit", this.#forget);
    this.#server.close();
    for (const child of this.#children) child.kill();
    this.#forget();
  }

  #join(socket: Socket, program: string, args: readonly string[]): void {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#children.add(child);
    let words = "";
    this.#said = undefined;
    child.stderr.setEncoding("utf8").on("data", (text: string) => (words = `${words}${text}`.slice(0, mostWords)));
    child.once("error", (error) => {
      this.#said = error.message;
      this.#fail(error);
      socket.destroy();
    });
    child.once("close", (code) => {
      this.#children.delete(child);
      if (code !== 0) {
        this.#said ??= words.trim() === "" ? `${program} ended with ${String(code)}` : words.trim();
        this.#fail(new Error(this.#said));
      }
      socket.destroy();
    });
    const over = (thrown: Error | null | undefined): void => {
      if (thrown) child.kill();
    };
    pipeline(socket, child.stdin, over);
    pipeline(child.stdout, socket, over);
    // A helper keeps nobody's process alive; gRPC's own connection does while a call waits.
    child.unref();
  }
}
