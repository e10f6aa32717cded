/** An agent on a Unix socket, as a guest would be one: a handshake of its own making, then gRPC. */
import { Server, ServerCredentials, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentServiceService, type AgentServiceServer } from "../../../../src/gen/agent/v1/agent.js";

/** What the fake does with the host's first line; undefined: hang up. */
export type Handshake = (line: string, socket: Socket, attempt: number) => string | undefined;

const honest: Handshake = (line) => line.replace("HOST ", "AGENT ");

export class FakeAgent implements AsyncDisposable {
  readonly socketPath: string;
  readonly connections: Socket[] = [];
  readonly #directory: string;
  readonly #grpc = new Server();
  readonly #listener = createServer();
  #attempts = 0;

  private constructor(directory: string) {
    this.#directory = directory;
    this.socketPath = join(directory, "agent.sock");
  }

  static async start(calls: Partial<AgentServiceServer>, handshake: Handshake = honest): Promise<FakeAgent> {
    const agent = new FakeAgent(await mkdtemp(join(tmpdir(), "a3s-agent-")));
    const implementation: UntypedServiceImplementation = {};
    for (const [name, handler] of Object.entries(calls))
      if (typeof handler === "function") implementation[name] = handler;
    agent.#grpc.addService(AgentServiceService, implementation);
    const injector = agent.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    agent.#listener.on("connection", (socket) => {
      agent.connections.push(socket);
      agent.#attempts += 1;
      const attempt = agent.#attempts;
      socket.on("error", () => undefined);
      socket.once("data", (line: Buffer) => {
        const answer = handshake(line.toString(), socket, attempt);
        if (answer === undefined) return;
        socket.pause();
        socket.write(answer);
        if (answer.endsWith(honest(line.toString(), socket, attempt) ?? "")) injector.injectConnection(socket);
      });
    });
    await new Promise<void>((resolve) => {
      agent.#listener.listen(agent.socketPath, resolve);
    });
    return agent;
  }

  get attempts(): number {
    return this.#attempts;
  }

  /** As a guest that loses its host. */
  dropConnections(): void {
    for (const socket of this.connections.splice(0)) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dropConnections();
    this.#grpc.forceShutdown();
    this.#listener.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
