/** ACP over the one port: the messages of a sandbox's coding agent, one in each message of a WebSocket (docs/adr/0129). */
import type { Duplex } from "node:stream";
import { acpCommand } from "../../agents/presets/presets.js";
import { codeOf, RuntimeError } from "../../base/errors.js";
import { refuse } from "../../streaming/refuse.js";
import { serveWebSocket } from "../../streaming/websocket/upgrade.js";
import type { OutputFrom, Processes, ProcessView } from "../core/process.js";
import type { SandboxView } from "../core/sandbox.js";
import type { HttpProtocol, HttpRequest } from "../listen/protocol.js";
import { restError } from "../sandboxd/http/errors.js";
import { callerOf, decoded, restProtocol } from "../sandboxd/http/protocol.js";
import type { SandboxdParts } from "../sandboxd/parts.js";
import { AcpSession, mostMessageBytes } from "./acp-session.js";
import { Attachments } from "./attachments.js";

const path = /^\/v1\/sandboxes\/([^/]+)\/acp$/;
const tag = "acp";
/** Agents of one sandbox at a time. */
const mostAgents = 8;
const endLimitMs = 20_000;
/** Of the process, for whoever wants to take it up again. */
const processHeader = "X-A3s-Process";

export function acpProtocol(parts: SandboxdParts): HttpProtocol {
  const attachments = new Attachments(parts.log);
  const plain = restProtocol(parts, {
    name: "acp",
    takes: (sent) => path.test(sent),
    handle: () => Promise.reject(new RuntimeError("invalidArgument", "this is for a WebSocket (Upgrade: websocket)")),
  });
  return {
    ...plain,
    upgrade: async (request, socket, head) => {
      let begun: Begun;
      try {
        begun = await begin(parts, request);
      } catch (thrown) {
        const { message, status } = restError(thrown);
        refuse(socket, status === 507 ? 429 : status, message);
        return;
      }
      await serve(begun, { request, socket, head }, parts, attachments);
    },
  };
}

interface Begun {
  readonly sandbox: SandboxView;
  readonly processes: Processes;
  readonly process: ProcessView;
  readonly from: OutputFrom;
  /** It was there before, and is not this connection's to end when it can't be made. */
  readonly isTakenUp: boolean;
}

async function begin({ sandboxes }: SandboxdParts, request: HttpRequest): Promise<Begun> {
  const caller = callerOf(request);
  const id = decoded(path.exec(request.url.pathname)?.[1] ?? "");
  const sandbox = sandboxes.get(caller, id);
  const processes = sandboxes.processes(caller, id);
  const query = request.url.searchParams;
  const known = query.get("process");
  if (known !== null) {
    const process = processes.get(numberOf("process", known));
    if (process.wanted.tag !== tag) throw new RuntimeError("notFound", `process ${known} is no agent`);
    return { sandbox, processes, process, from: fromOf(query), isTakenUp: true };
  }
  if (sandbox.agent === undefined) {
    throw new RuntimeError("failedPrecondition", "the sandbox was made without a coding agent", {
      hint: "its template, or its client, names one: agent",
    });
  }
  if (agentsOf(processes).length >= mostAgents) throw tooMany();
  const wanted = {
    ...{ args: acpCommand(sandbox.agent), env: {}, workingDir: query.get("cwd") ?? "", user: "" },
    ...{ stdin: true, tag, limitMs: 0 },
  };
  const process = await processes.start(wanted, request.signal);
  // Others may have been started meanwhile, and none is on the list before it runs.
  if (agentsOf(processes).length > mostAgents) {
    await processes.forget(process.id, AbortSignal.timeout(endLimitMs));
    throw tooMany();
  }
  return { sandbox, processes, process, from: "start", isTakenUp: false };
}

function agentsOf(processes: Processes): ProcessView[] {
  return processes.list().filter(({ exit, wanted }) => exit === undefined && wanted.tag === tag);
}

function tooMany(): RuntimeError {
  return new RuntimeError("resourceExhausted", `${String(mostAgents)} agents run in the sandbox already`, {
    hint: "end one, or take one up: ?process=NUMBER",
  });
}

async function serve(
  { sandbox, processes, process, from, isTakenUp }: Begun,
  { request, socket, head }: { readonly request: HttpRequest; readonly socket: Duplex; readonly head: Buffer },
  { log, stopping }: SandboxdParts,
  attachments: Attachments,
): Promise<void> {
  const own = log.child({ sandbox: sandbox.id, process: process.id });
  const key = `${sandbox.id}/${String(process.id)}`;
  const options = { maxPayload: mostMessageBytes, more: { [processHeader]: String(process.id) } };
  try {
    await serveWebSocket(
      { request: request.message, socket, head },
      "",
      async (webSocket) => {
        const session = new AcpSession({ socket: webSocket, processes, id: process.id, log: own, stopping });
        const { signal, leave } = attachments.attach(key);
        const isDone = await session.run(from, signal);
        leave(isDone ? "over" : "left", (limit) => processes.forget(process.id, limit));
      },
      options,
    );
  } catch (thrown) {
    // Its handshake was none: nobody knows of the agent.
    if (!isTakenUp) attachments.attach(key).leave("over", (limit) => processes.forget(process.id, limit));
    if (codeOf(thrown) !== "canceled") throw thrown; // a client that has gone is no failure
  }
}

function fromOf(query: URLSearchParams): OutputFrom {
  const from = query.get("from") ?? "unseen";
  if (from === "unseen" || from === "start" || from === "now") return from;
  return { offset: numberOf("from", from) };
}

function numberOf(name: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new RuntimeError("invalidArgument", `${name} is no number`);
}
