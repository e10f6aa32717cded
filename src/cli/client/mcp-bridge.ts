/**
 * From lines to requests of HTTP and back. It understands as much of the protocol as its headers ask for: the method, a
 * tool's or a resource's name, the version, and which request a cancellation is about.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { messageOf } from "../../base/errors.js";
import { nobodyThere, type Endpoint } from "./endpoint.js";

const longestAnswerBytes = 64 * 1024 * 1024;
const internalError = -32_603;
const parseError = -32_700;

interface Message {
  readonly id?: string | number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
}

export class McpBridge {
  readonly #endpoint: Endpoint;
  readonly #tell: (line: string) => void;
  readonly #underWay = new Map<string, AbortController>();
  readonly #work = new Set<Promise<void>>();
  /** Of the older protocol: what `initialize` was answered with. */
  #version: string | undefined;

  /** `tell` gets what the other side is to read, a line each. */
  constructor(endpoint: Endpoint, tell: (line: string) => void) {
    this.#endpoint = endpoint;
    this.#tell = tell;
  }

  take(line: string): void {
    const message = parsed(line);
    if (message === undefined) {
      this.#tell(JSON.stringify({ jsonrpc: "2.0", id: null, error: { code: parseError, message: "not JSON-RPC" } }));
      return;
    }
    if (message.method === "notifications/cancelled") {
      this.#underWay.get(keyOf(message.params?.["requestId"]))?.abort();
      return;
    }
    const work = this.#send(line, message);
    this.#work.add(work);
    void work.finally(() => this.#work.delete(work));
  }

  async settled(): Promise<void> {
    await Promise.all(this.#work);
  }

  async #send(line: string, message: Message): Promise<void> {
    const { id } = message;
    const stop = new AbortController();
    if (id !== undefined) this.#underWay.set(keyOf(id), stop);
    try {
      const answer = await this.#post(line, message, stop.signal);
      await this.#answer(answer, message);
    } catch (thrown) {
      if (id === undefined || stop.signal.aborted) return;
      this.#tell(JSON.stringify({ jsonrpc: "2.0", id, error: { code: internalError, message: messageOf(thrown) } }));
    } finally {
      if (id !== undefined) this.#underWay.delete(keyOf(id));
    }
  }

  async #post(body: string, message: Message, signal: AbortSignal): Promise<IncomingMessage> {
    const { target, token } = this.#endpoint;
    return await new Promise((resolve, reject) => {
      const sent = httpRequest({
        ...target,
        ...{ method: "POST", path: "/mcp", signal },
        headers: {
          ...headersOf(message, this.#version),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...{ host: "localhost", "content-length": Buffer.byteLength(body) },
        },
      });
      sent.once("response", resolve);
      sent.once("error", (thrown) => {
        reject(signal.aborted ? thrown : nobodyThere(this.#endpoint, thrown));
      });
      sent.end(body);
    });
  }

  async #answer(answer: IncomingMessage, message: Message): Promise<void> {
    const { id, method } = message;
    if (answer.headers["content-type"]?.startsWith("text/event-stream") === true) {
      if (!(await this.#events(answer, message))) throw new Error("the daemon's stream has ended without its answer");
      return;
    }
    const text = await textOf(answer);
    if (id === undefined) return;
    const said = parsed(text);
    if (said === undefined) throw new Error(`the daemon answered ${String(answer.statusCode)}: ${text.slice(0, 200)}`);
    if (method === "initialize") this.#version = versionOf(text);
    this.#tell(text.trim());
  }

  /** Passes on what comes. True when the answer was there: the client is told no other then, however the stream ends. */
  async #events(stream: IncomingMessage, { id, method }: Message): Promise<boolean> {
    let isAnswered = false;
    try {
      for await (const line of linesOf(stream)) {
        const data = line.startsWith("data:") ? line.slice("data:".length).trim() : "";
        if (data === "") continue;
        this.#tell(data);
        const said = parsed(data);
        if (said === undefined || said.method !== undefined || said.id !== id) continue;
        isAnswered = true;
        if (method === "initialize") this.#version = versionOf(data);
      }
    } catch (cause) {
      const why = `the daemon's stream broke off without its answer: ${messageOf(cause)}`;
      if (!isAnswered) throw new Error(why, { cause });
    }
    return isAnswered;
  }
}

/** Whole ones: what a stream that breaks off leaves of its last is no message. */
async function* linesOf(stream: IncomingMessage): AsyncGenerator<string> {
  let begun = "";
  for await (const part of stream.setEncoding("utf8") as AsyncIterable<string>) {
    const lines = part.split("\n");
    lines[0] = begun + (lines[0] ?? "");
    begun = lines.pop() ?? "";
    if (begun.length > longestAnswerBytes) throw new Error("the daemon's answer is too long");
    for (const line of lines) yield line;
  }
}

/** As the transport of 2026-07-28 wants them; earlier servers take no notice. */
function headersOf({ method, params }: Message, agreed: string | undefined): Record<string, string> {
  const meta = params?.["_meta"];
  const named = isObject(meta) ? meta["io.modelcontextprotocol/protocolVersion"] : undefined;
  const version = typeof named === "string" ? named : agreed;
  const name = params?.["name"] ?? params?.["uri"];
  return {
    ...{ "content-type": "application/json", accept: "application/json, text/event-stream" },
    ...(version === undefined ? {} : { "mcp-protocol-version": version }),
    ...(method === undefined ? {} : { "mcp-method": headerValue(method) }),
    ...(typeof name === "string" ? { "mcp-name": headerValue(name) } : {}),
  };
}

/** Of a header's characters; others come encoded, as the transport has it (RFC 2047's way, with UTF-8 in base64). */
function headerValue(text: string): string {
  return /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !text.startsWith("=?")
    ? text
    : `=?base64?${Buffer.from(text).toString("base64")}?=`;
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > longestAnswerBytes) throw new Error("the daemon's answer is too long");
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function versionOf(text: string): string | undefined {
  const said: unknown = JSON.parse(text);
  const result = isObject(said) ? said["result"] : undefined;
  const version = isObject(result) ? result["protocolVersion"] : undefined;
  return typeof version === "string" ? version : undefined;
}

function parsed(line: string): Message | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { id, method, params } = value;
  return {
    ...(typeof id === "string" || typeof id === "number" ? { id } : {}),
    ...(typeof method === "string" ? { method } : {}),
    ...(isObject(params) ? { params } : {}),
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** 1 and "1" are two requests. */
function keyOf(id: unknown): string {
  return JSON.stringify(id);
}
