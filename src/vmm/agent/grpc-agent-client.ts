import { Metadata } from "@grpc/grpc-js";
import { RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import type {
  ConfigureSandboxRequest,
  CreateSessionRequest,
  CreateSessionResponse,
  ExitStatus,
  HelloResponse,
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
} from "../../gen/agent/v1/agent.js";
import { AgentServiceService as agent } from "../../gen/agent/v1/agent.js";
import { printable } from "../console.js";
import type {
  AgentClient,
  InputWriter,
  OutputReader,
  PortConnection,
  ServedPortWanted,
  WaitingConnection,
} from "./agent-client.js";
import type { AgentFiles } from "./agent-files.js";
import type { CallScope } from "./call-scope.js";
import { GrpcAgentFiles } from "./grpc-agent-files.js";
import { ProcessInput } from "./input-writer.js";
import { ResumingOutput } from "./output-reader.js";
import type { CheckedMethods } from "./checked-methods.js";
import { openConnection } from "./port-connection.js";
import { servePort } from "./served-port.js";
import { isUnavailable, unary, type StartCall } from "./unary.js";

/** Version of proto/agent/v1 that this daemon speaks. */
const agentProtocol = 1;

const callMs = 10_000;
/** What a guest works for (mounts, its network, cgroups, the container's processes) under emulation on a busy machine. */
const sessionCallMs = 60_000;
const shortestRetryMs = 100;
const longestRetryMs = 1000;

export class GrpcAgentClient implements AgentClient {
  readonly files: AgentFiles;
  readonly #methods: CheckedMethods;
  readonly #scope: CallScope;
  readonly #boxId: string;
  readonly #hangUp: () => void;
  #guest: HelloResponse | undefined;

  constructor(methods: CheckedMethods, scope: CallScope, boxId: string, hangUp: () => void) {
    this.files = new GrpcAgentFiles(methods, scope);
    this.#methods = methods;
    this.#scope = scope;
    this.#boxId = boxId;
    this.#hangUp = hangUp;
  }

  async hello(signal: AbortSignal): Promise<HelloResponse> {
    return await this.#greet(false, signal);
  }

  async #greet(whenSetUp: boolean, signal: AbortSignal): Promise<HelloResponse> {
    const request = { protocol: agentProtocol, sandboxId: this.#boxId, whenSetUp };
    const hello = await this.#persist("hello", signal, this.#methods.unary(agent.hello, request));
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
    return (this.#guest = printableHello(hello));
  }

  async guest(signal: AbortSignal): Promise<HelloResponse> {
    // the first of a Box that boots is answered before its agent is done
    return this.#guest?.setUp === true ? this.#guest : await this.#greet(true, signal);
  }

  async configureSandbox(request: ConfigureSandboxRequest, signal: AbortSignal): Promise<void> {
    await this.#call("configure sandbox", sessionCallMs, signal, this.#methods.unary(agent.configureSandbox, request));
  }

  async createSession(request: CreateSessionRequest, signal: AbortSignal): Promise<CreateSessionResponse> {
    return await this.#call("create session", sessionCallMs, signal, this.#methods.unary(agent.createSession, request));
  }

  async startSession(sessionId: string, signal: AbortSignal): Promise<StartSessionResponse> {
    return await this.#call(
      "start session",
      sessionCallMs,
      signal,
      this.#methods.unary(agent.startSession, { sessionId }),
    );
  }

  async startExec(request: StartExecRequest, signal: AbortSignal): Promise<StartExecResponse> {
    return await this.#call("start exec", sessionCallMs, signal, this.#methods.unary(agent.startExec, request));
  }

  async signalProcess(process: ProcessRef, signalNumber: number, all: boolean, signal: AbortSignal): Promise<void> {
    await this.#call(
      "signal",
      callMs,
      signal,
      this.#methods.unary(agent.signal, { process, signal: signalNumber, all }),
    );
  }

  async wait(process: ProcessRef, signal: AbortSignal): Promise<ExitStatus> {
    const { exit } = await this.#persist("wait", signal, this.#methods.unary(agent.wait, { process }));
    if (exit === undefined) throw new RuntimeError("internal", "no exit status", { stage: "agent wait" });
    return possibleExit(exit);
  }

  output(process: ProcessRef, after: bigint, autoAcknowledge: boolean, signal: AbortSignal): OutputReader {
    const open = () => this.#methods.duplex(agent.output, new Metadata({ waitForReady: true }));
    return new ResumingOutput(this.#scope, { process, after, autoAcknowledge, open }, signal);
  }

  input(process: ProcessRef, signal: AbortSignal): InputWriter {
    return new ProcessInput(this.#scope, process, signal, (reply) => this.#methods.clientStream(agent.input, reply));
  }

  async resize(process: ProcessRef, width: number, height: number, signal: AbortSignal): Promise<void> {
    await this.#call("resize", callMs, signal, this.#methods.unary(agent.resize, { process, width, height }));
  }

  async connectPort(port: number, signal: AbortSignal): Promise<PortConnection> {
    const call = {
      name: "port forward",
      open: () => this.#methods.duplex(agent.portForward, new Metadata()),
      first: { port, data: Buffer.alloc(0) },
      next: (data: Uint8Array) => ({ port: 0, data }),
    };
    return await openConnection(this.#scope, call, signal);
  }

  async servePort(wanted: ServedPortWanted, signal: AbortSignal): Promise<AsyncGenerator<WaitingConnection, void>> {
    return await servePort(this.#scope, signal, () => this.#methods.serverStream(agent.servePort, wanted));
  }

  async takeConnection(id: bigint, signal: AbortSignal): Promise<PortConnection> {
    const call = {
      name: "take connection",
      open: () => this.#methods.duplex(agent.takeConnection, new Metadata()),
      first: { connectionId: id, data: Buffer.alloc(0), end: false },
      next: (data: Uint8Array) => ({ connectionId: 0n, data, end: false }),
      last: { connectionId: 0n, data: Buffer.alloc(0), end: true },
    };
    return await openConnection(this.#scope, call, signal);
  }

  async stopServing(port: number, signal: AbortSignal): Promise<void> {
    await this.#call("stop serving", callMs, signal, this.#methods.unary(agent.stopServing, { port }));
  }

  async deleteSession(sessionId: string, signal: AbortSignal): Promise<void> {
    await this.#call("delete session", sessionCallMs, signal, this.#methods.unary(agent.deleteSession, { sessionId }));
  }

  async forgetExec(sessionId: string, execId: string, signal: AbortSignal): Promise<void> {
    await this.#call(
      "forget exec",
      sessionCallMs,
      signal,
      this.#methods.unary(agent.forgetExec, { sessionId, execId }),
    );
  }

  async updateSession(request: UpdateSessionRequest, signal: AbortSignal): Promise<void> {
    await this.#call("update session", callMs, signal, this.#methods.unary(agent.updateSession, request));
  }

  async listSessions(signal: AbortSignal): Promise<Session[]> {
    const { sessions } = await this.#call("list sessions", callMs, signal, this.#methods.unary(agent.listSessions, {}));
    return sessions;
  }

  async reach(signal: AbortSignal): Promise<Session[]> {
    const { sessions } = await this.#persist("list sessions", signal, this.#methods.unary(agent.listSessions, {}));
    return sessions;
  }

  get broken(): AbortSignal {
    return this.#scope.broken;
  }

  rest(): void {
    this.#scope.rest.begin();
    this.#hangUp();
  }

  wake(): void {
    this.#scope.rest.end();
  }

  get isResting(): boolean {
    return this.#scope.rest.isResting;
  }

  async awake(signal: AbortSignal): Promise<void> {
    await this.#scope.rest.awake(signal);
  }

  hangUp(): void {
    this.#hangUp();
  }

  async stats(request: StatsRequest, signal: AbortSignal): Promise<StatsResponse> {
    return await this.#call("stats", callMs, signal, this.#methods.unary(agent.stats, request));
  }

  async dropCaches(signal: AbortSignal): Promise<void> {
    await this.#call("drop caches", callMs, signal, this.#methods.unary(agent.dropCaches, {}));
  }

  async syncMirror(path: string, signal: AbortSignal): Promise<void> {
    await this.#call("sync mirror", callMs, signal, this.#methods.unary(agent.syncMirror, { path }));
  }

  async syncSubmounts(
    path: string,
    submounts: readonly Submount[],
    signal: AbortSignal,
  ): Promise<SyncSubmountsResponse> {
    return await this.#call(
      "sync submounts",
      sessionCallMs,
      signal,
      this.#methods.unary(agent.syncSubmounts, { path, submounts: [...submounts] }),
    );
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    await this.#call("shutdown", callMs, signal, this.#methods.unary(agent.shutdown, {}));
  }

  close(reason: string): void {
    this.#scope.close(reason);
    this.#methods.close();
    // A guest that reads nothing does not see that no more comes: the next connection waits until this one has gone.
    this.#hangUp();
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
