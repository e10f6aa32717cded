import { Metadata } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import type {
  AgentServiceClient,
  ConfigureSandboxRequest,
  CreateSessionRequest,
  CreateSessionResponse,
  ExitStatus,
  HelloResponse,
  ListSessionsResponse,
  ProcessRef,
  Session,
  StartExecRequest,
  StartExecResponse,
  StartSessionResponse,
  StatsRequest,
  StatsResponse,
  Submount,
  SyncSubmountsResponse,
  UpdateSessionRequest,
  WaitResponse,
} from "../../gen/agent/v1/agent.js";
import { printable } from "../console.js";
import type { AgentClient, InputWriter, OutputReader, PortConnection } from "./agent-client.js";
import type { CallScope } from "./call-scope.js";
import { ProcessInput } from "./input-writer.js";
import { ResumingOutput } from "./output-reader.js";
import { connectPort } from "./port-connection.js";
import { isUnavailable, unary, type StartCall } from "./unary.js";

/** Version of proto/agent/v1 that this daemon speaks. */
const agentProtocol = 1;

const callMs = 10_000;
/** What a guest works for (mounts, its network, cgroups, the container's processes) under emulation on a busy machine. */
const sessionCallMs = 60_000;
const shortestRetryMs = 100;
const longestRetryMs = 1000;

export class GrpcAgentClient implements AgentClient {
  readonly #client: AgentServiceClient;
  readonly #scope: CallScope;
  readonly #sandboxId: string;
  readonly #hangUp: () => void;

  constructor(client: AgentServiceClient, scope: CallScope, sandboxId: string, hangUp: () => void) {
    this.#client = client;
    this.#scope = scope;
    this.#sandboxId = sandboxId;
    this.#hangUp = hangUp;
  }

  async hello(signal: AbortSignal): Promise<HelloResponse> {
    const request = { protocol: agentProtocol, sandboxId: this.#sandboxId };
    const hello = await this.#persist<HelloResponse>("hello", signal, (metadata, options, reply) =>
      this.#client.hello(request, metadata, options, reply),
    );
    if (hello.protocol !== agentProtocol) {
      throw new RuntimeError(
        "failedPrecondition",
        `the agent speaks protocol ${hello.protocol}, not ${agentProtocol}`,
        {
          stage: "agent hello",
          hint: "the guest base is of another version: run the set-up again",
        },
      );
    }
    return printableHello(hello);
  }

  async configureSandbox(request: ConfigureSandboxRequest, signal: AbortSignal): Promise<void> {
    await this.#call("configure sandbox", sessionCallMs, signal, (metadata, options, reply) =>
      this.#client.configureSandbox(request, metadata, options, reply),
    );
  }

  async createSession(request: CreateSessionRequest, signal: AbortSignal): Promise<CreateSessionResponse> {
    return await this.#call<CreateSessionResponse>(
      "create session",
      sessionCallMs,
      signal,
      (metadata, options, reply) => this.#client.createSession(request, metadata, options, reply),
    );
  }

  async startSession(sessionId: string, signal: AbortSignal): Promise<StartSessionResponse> {
    return await this.#call<StartSessionResponse>("start session", sessionCallMs, signal, (metadata, options, reply) =>
      this.#client.startSession({ sessionId }, metadata, options, reply),
    );
  }

  async startExec(request: StartExecRequest, signal: AbortSignal): Promise<StartExecResponse> {
    return await this.#call<StartExecResponse>("start exec", sessionCallMs, signal, (metadata, options, reply) =>
      this.#client.startExec(request, metadata, options, reply),
    );
  }

  async signalProcess(process: ProcessRef, signalNumber: number, all: boolean, signal: AbortSignal): Promise<void> {
    await this.#call("signal", callMs, signal, (metadata, options, reply) =>
      this.#client.signal({ process, signal: signalNumber, all }, metadata, options, reply),
    );
  }

  async wait(process: ProcessRef, signal: AbortSignal): Promise<ExitStatus> {
    const { exit } = await this.#persist<WaitResponse>("wait", signal, (metadata, options, reply) =>
      this.#client.wait({ process }, metadata, options, reply),
    );
    if (exit === undefined) throw new RuntimeError("internal", "no exit status", { stage: "agent wait" });
    return possibleExit(exit);
  }

  output(process: ProcessRef, after: bigint, autoAcknowledge: boolean, signal: AbortSignal): OutputReader {
    const open = () => this.#client.output(new Metadata({ waitForReady: true }));
    return new ResumingOutput(this.#scope, { process, after, autoAcknowledge, open }, signal);
  }

  input(process: ProcessRef, signal: AbortSignal): InputWriter {
    return new ProcessInput(this.#scope, process, signal, (reply) => this.#client.input(reply));
  }

  async resize(process: ProcessRef, width: number, height: number, signal: AbortSignal): Promise<void> {
    await this.#call("resize", callMs, signal, (metadata, options, reply) =>
      this.#client.resize({ process, width, height }, metadata, options, reply),
    );
  }

  async connectPort(port: number, signal: AbortSignal): Promise<PortConnection> {
    return await connectPort(this.#scope, port, signal, () => this.#client.portForward());
  }

  async deleteSession(sessionId: string, signal: AbortSignal): Promise<void> {
    await this.#call("delete session", sessionCallMs, signal, (metadata, options, reply) =>
      this.#client.deleteSession({ sessionId }, metadata, options, reply),
    );
  }

  async forgetExec(sessionId: string, execId: string, signal: AbortSignal): Promise<void> {
    await this.#call("forget exec", sessionCallMs, signal, (metadata, options, reply) =>
      this.#client.forgetExec({ sessionId, execId }, metadata, options, reply),
    );
  }

  async updateSession(request: UpdateSessionRequest, signal: AbortSignal): Promise<void> {
    await this.#call("update session", callMs, signal, (metadata, options, reply) =>
      this.#client.updateSession(request, metadata, options, reply),
    );
  }

  async listSessions(signal: AbortSignal): Promise<Session[]> {
    const { sessions } = await this.#call<ListSessionsResponse>(
      "list sessions",
      callMs,
      signal,
      (metadata, options, reply) => this.#client.listSessions({}, metadata, options, reply),
    );
    return sessions;
  }

  async reach(signal: AbortSignal): Promise<Session[]> {
    const { sessions } = await this.#persist<ListSessionsResponse>(
      "list sessions",
      signal,
      (metadata, options, reply) => this.#client.listSessions({}, metadata, options, reply),
    );
    return sessions;
  }

  hangUp(): void {
    this.#hangUp();
  }

  async stats(request: StatsRequest, signal: AbortSignal): Promise<StatsResponse> {
    return await this.#call<StatsResponse>("stats", callMs, signal, (metadata, options, reply) =>
      this.#client.stats(request, metadata, options, reply),
    );
  }

  async dropCaches(signal: AbortSignal): Promise<void> {
    await this.#call("drop caches", callMs, signal, (metadata, options, reply) =>
      this.#client.dropCaches({}, metadata, options, reply),
    );
  }

  async syncMirror(path: string, signal: AbortSignal): Promise<void> {
    await this.#call("sync mirror", callMs, signal, (metadata, options, reply) =>
      this.#client.syncMirror({ path }, metadata, options, reply),
    );
  }

  async syncSubmounts(
    path: string,
    submounts: readonly Submount[],
    signal: AbortSignal,
  ): Promise<SyncSubmountsResponse> {
    return await this.#call("sync submounts", sessionCallMs, signal, (metadata, options, reply) =>
      this.#client.syncSubmounts({ path, submounts: [...submounts] }, metadata, options, reply),
    );
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    await this.#call("shutdown", callMs, signal, (metadata, options, reply) =>
      this.#client.shutdown({}, metadata, options, reply),
    );
  }

  close(reason: string): void {
    this.#scope.close(reason);
    this.#client.close();
  }

  /** For as long as the caller waits: until a booting guest answers, and over lost connections. */
  async #persist<Res>(name: string, signal: AbortSignal, start: StartCall<Res>): Promise<Res> {
    for (let pauseMs = shortestRetryMs; ; pauseMs = Math.min(pauseMs * 2, longestRetryMs)) {
      try {
        return await unary(this.#scope, { name, limitMs: null, waitForReady: true }, signal, start);
      } catch (thrown) {
        if (!isUnavailable(thrown) || this.#scope.closed.aborted) throw thrown;
      }
      await sleep(pauseMs, signal);
    }
  }

  async #call<Res>(name: string, limitMs: number, signal: AbortSignal, start: StartCall<Res>): Promise<Res> {
    return await unary(this.#scope, { name, limitMs, waitForReady: false }, signal, start);
  }
}

/** exit(3) and signal(7) have no other values; a guest that says so is told what it meant. */
function possibleExit(exit: ExitStatus): ExitStatus {
  return { ...exit, code: Math.min(exit.code, 255), signal: exit.signal > 64 ? 0 : exit.signal };
}

/** For logs and Status: short, and without control characters. */
function printableHello(hello: HelloResponse): HelloResponse {
  const short = (text: string): string => printable(text).slice(0, 120);
  return {
    ...hello,
    agentVersion: short(hello.agentVersion),
    kernelRelease: short(hello.kernelRelease),
    clocksource: short(hello.clocksource),
    runtime: short(hello.runtime),
  };
}
