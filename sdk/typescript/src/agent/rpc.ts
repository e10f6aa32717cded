/** JSON-RPC 2.0 with one message in each line, over the standard input and output of a process. */
import { SandboxError, type ErrorDetail } from "../errors.js";
import { member } from "./messages.js";

/** Of one message. */
const mostCharacters = 16 * 1024 * 1024;
const unknownMethod = -32_601;
const failedHere = -32_603;

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (reason: Error) => void;
}

export interface RpcPeer {
  /** What the other side asks; what it throws is its answer. Undefined: there is no such method. */
  readonly asked: (method: string, params: unknown) => Promise<unknown>;
  /** What it tells. The next is read when this has settled. */
  readonly told: (method: string, params: unknown) => Promise<void>;
  readonly send: (line: string) => Promise<void>;
}

export class Rpc {
  readonly #peer: RpcPeer;
  readonly #detail: ErrorDetail;
  readonly #waiting = new Map<number, Waiting>();
  readonly #decoder = new TextDecoder();
  #rest = "";
  #next = 0;
  #ended: Error | undefined;

  constructor(peer: RpcPeer, detail: ErrorDetail) {
    this.#peer = peer;
    this.#detail = detail;
  }

  async request(method: string, params: unknown): Promise<unknown> {
    if (this.#ended !== undefined) throw this.#ended;
    const id = (this.#next += 1);
    const answered = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    answered.catch(() => undefined); // whoever waits is told
    try {
      await this.#put({ id, method, params });
      return await answered;
    } finally {
      this.#waiting.delete(id);
    }
  }

  async notify(method: string, params: unknown): Promise<void> {
    await this.#put({ method, params });
  }

  /** What has come of the output. */
  async take(data: Uint8Array): Promise<void> {
    const lines = (this.#rest + this.#decoder.decode(data, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > mostCharacters) throw new SandboxError("a message of the agent has no end", this.#detail);
    for (const line of lines) if (line.trim() !== "") await this.#message(line);
  }

  /** Nothing more comes: all who wait are told why. */
  end(why: Error): void {
    this.#ended ??= why;
    for (const { reject } of this.#waiting.values()) reject(why);
    this.#waiting.clear();
  }

  async #message(line: string): Promise<void> {
    const message = parsed(line);
    if (message === undefined) return; // what a program says before it speaks JSON
    const [id, method, error] = ["id", "method", "error"].map((name) => member(message, name));
    if (typeof method !== "string") {
      this.#answered(id, message, error);
      return;
    }
    const params = member(message, "params");
    if (id === undefined) await this.#peer.told(method, params);
    else void this.#answer(id, method, params); // an answer may take a person's time
  }

  #answered(id: unknown, message: unknown, error: unknown): void {
    const waiting = typeof id === "number" ? this.#waiting.get(id) : undefined;
    if (waiting === undefined) return;
    if (error === undefined || error === null) waiting.resolve(member(message, "result"));
    else waiting.reject(new SandboxError(`the agent says: ${wordsOf(error)}`, this.#detail));
  }

  async #answer(id: unknown, method: string, params: unknown): Promise<void> {
    let answer: object;
    try {
      const result = await this.#peer.asked(method, params);
      answer = result === undefined ? { error: { code: unknownMethod, message: `there is no ${method}` } } : { result };
    } catch (thrown) {
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      answer = { error: { code: failedHere, message } };
    }
    await this.#put({ id, ...answer }).catch(() => undefined); // the agent has ended
  }

  async #put(message: object): Promise<void> {
    await this.#peer.send(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function wordsOf(error: unknown): string {
  const message = member(error, "message");
  const details = member(member(error, "data"), "details") ?? member(member(error, "data"), "message");
  const words = typeof message === "string" ? message : JSON.stringify(error);
  return typeof details === "string" ? `${words}: ${details}` : words;
}
