/**
 * A model server of our own, which speaks as Anthropic, OpenAI and Google do as far as their clients look: over TLS, streamed and
 * not, and with all that can go wrong. What a model is called says how it behaves.
 */
import { readFile } from "node:fs/promises";
import { createServer as createPlainServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import type { Certificate } from "../certificates.js";
import { chatAnswer, chatEvents, type Turn } from "./openai-chat.js";
import { geminiAnswer } from "./gemini.js";
import { messagesAnswer, messagesEvents } from "./anthropic.js";
import { responsesAnswer, responsesEvents } from "./openai-responses.js";

/** What came, as it came. */
export interface Seen {
  readonly method: string;
  readonly path: string;
  /** Name, value, name, value … */
  readonly headers: readonly string[];
  readonly body: string;
}

export interface FakeModels {
  /** "https://127.0.0.1:PORT". */
  readonly url: string;
  readonly port: number;
  readonly seen: Seen[];
  /** Keys that are taken. */
  keys: string[];
  /** What the next answers say; a text for each turn of a conversation, or one for all. */
  script: (body: unknown) => Turn;
  /** Streams of the model "held" go on for as long as this waits. */
  hold: Promise<void>;
  /** Connections that are open now. */
  readonly connections: () => number;
  stop(): Promise<void>;
}

export const usual: Turn = { text: "Hello from a model." };

export async function startFakeModels(certificate: Certificate | undefined): Promise<FakeModels> {
  const fake = {
    seen: new Array<Seen>(),
    keys: ["key-1"],
    script: (): Turn => usual,
    hold: Promise.resolve(),
  };
  const state: Omit<FakeModels, "url" | "port" | "stop" | "connections"> = fake;
  const handle = (message: IncomingMessage, response: ServerResponse): void => {
    answer(message, response, state).catch(() => response.destroy());
  };
  const server =
    certificate === undefined
      ? createPlainServer(handle)
      : createServer({ cert: await readFile(certificate.certFile), key: await readFile(certificate.keyFile) }, handle);
  let open = 0;
  server.on(certificate === undefined ? "connection" : "secureConnection", (socket: NodeJS.EventEmitter) => {
    open += 1;
    socket.once("close", () => (open -= 1));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", 1024, resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return Object.assign(state, {
    url: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${String(port)}`,
    port,
    connections: () => open,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

type State = Pick<FakeModels, "seen" | "keys" | "script" | "hold">;

async function answer(message: IncomingMessage, response: ServerResponse, state: State): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const { headers, method = "", rawHeaders, url = "" } = message;
  state.seen.push({ method, path: url, headers: rawHeaders, body });
  const bearer = /^Bearer (.*)$/.exec(headers.authorization ?? "")?.[1];
  const key = headers["x-api-key"] ?? headers["x-goog-api-key"] ?? bearer;
  if (typeof key !== "string" || !state.keys.includes(key)) {
    send(response, 401, { error: { type: "authentication_error", message: `wrong key: ${String(key)}` } });
    return;
  }
  const request: unknown = body === "" ? {} : JSON.parse(body);
  const model = memberOf(request, "model") || (/models\/([^:/?]+)/.exec(url)?.[1] ?? "");
  if (await misbehaved(model, response, key)) return;
  const path = url.split("?")[0] ?? "";
  const turn = state.script(request);
  const isStream = memberOf(request, "stream") === "true" || path.endsWith(":streamGenerateContent");
  if (method === "GET") send(response, 200, { data: [{ id: "model-1", object: "model" }] });
  else if (path === "/v1/messages/count_tokens") send(response, 200, { input_tokens: 7 });
  else if (path === "/v1/embeddings")
    send(response, 200, { data: [{ embedding: [0.5] }], usage: { prompt_tokens: 3 } });
  else if (!isStream) send(response, 200, wholeOf(path, model, turn));
  else {
    response.writeHead(200, { "content-type": "text/event-stream", "request-id": "req_1" });
    response.flushHeaders();
    for (const [at, event] of eventsOf(path, model, turn, request).entries()) {
      if (at === 2 && model === "held") await state.hold;
      if (at === 2 && model === "broken") {
        response.destroy();
        return;
      }
      response.write(event);
    }
    response.end();
  }
}

function wholeOf(path: string, model: string, turn: Turn): unknown {
  if (path === "/v1/messages") return messagesAnswer(model, turn);
  if (path === "/v1/responses") return responsesAnswer(model, turn);
  return path.startsWith("/v1beta/") ? geminiAnswer(turn) : chatAnswer(model, turn);
}

function eventsOf(path: string, model: string, turn: Turn, request: unknown): string[] {
  if (path === "/v1/messages") return messagesEvents(model, turn);
  if (path === "/v1/responses") return responsesEvents(model, turn);
  if (path.startsWith("/v1beta/")) return [`data: ${JSON.stringify(geminiAnswer(turn))}\r\n\r\n`];
  return chatEvents(model, turn, JSON.stringify(request).includes('"include_usage":true'));
}

/** True: it has done what its name says. */
async function misbehaved(model: string, response: ServerResponse, key: string): Promise<boolean> {
  switch (model) {
    case "slow":
      await delay(60_000, undefined, { ref: false });
      return true;
    case "reset":
      response.destroy();
      return true;
    case "busy":
      response.writeHead(429, { "retry-after": "17", "content-type": "application/json", "x-should-retry": "false" });
      response.end('{"error":{"type":"rate_limit_error","message":"the model is busy"}}');
      return true;
    case "away":
      response.writeHead(307, { location: "https://127.0.0.1:1/v1/messages" }).end();
      return true;
    case "echo":
      response.writeHead(400, { "content-type": "text/plain", "x-echo": key });
      for (const part of [`you said ${key.slice(0, 4)}`, `${key.slice(4)}, and ${key}`]) {
        response.write(part);
        await delay(20);
      }
      response.end();
      return true;
    case "cookie":
      response.writeHead(200, { "set-cookie": "account=1", "alt-svc": "h3", "x-odd": "  kept " }).end("{}");
      return true;
    case "huge":
      response.writeHead(200, { "content-type": "application/json" });
      for (let at = 0; at < 64; at += 1) if (!response.write("x".repeat(1_048_576))) await drained(response);
      response.end();
      return true;
    default:
      return false;
  }
}

async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

export function memberOf(value: unknown, name: string): string {
  if (typeof value !== "object" || value === null) return "";
  const found = Object.entries(value).find(([key]) => key === name);
  return found === undefined || typeof found[1] === "object" ? "" : String(found[1]);
}
