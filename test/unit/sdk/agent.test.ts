import { expect } from "chai";
import { AgentSession, type AgentStartOpts } from "../../../sdk/typescript/src/agent/session.js";
import type { SandboxProcesses } from "../../../sdk/typescript/src/commands/processes.js";

/** An agent behind a sandbox's processes: what it is sent, and what it answers. */
class Agent {
  readonly asked: string[] = [];
  /** To its own questions. */
  readonly answers: unknown[] = [];
  isForgotten = false;
  send: (line: string) => Promise<void> = () => Promise.resolve();
  #say: (line: string) => void = () => undefined;
  readonly #said: string[] = [];

  say(message: object): void {
    this.#said.push(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
    this.#say("");
  }

  async #answer(line: string): Promise<void> {
    const message = JSON.parse(line) as { readonly id?: number; readonly method?: string; readonly result?: unknown };
    if (message.method === undefined) {
      this.answers.push(message.result);
      return;
    }
    this.asked.push(message.method);
    if (message.method === "initialize") this.say({ id: message.id, result: {} });
    if (message.method === "session/new") this.say({ id: message.id, result: { sessionId: "s" } });
    await this.send(message.method);
  }

  async session(opts: AgentStartOpts = {}): Promise<AgentSession> {
    const processes: Partial<Record<keyof SandboxProcesses, unknown>> = {
      call: (stage: string) => ({ stage, sandboxId: "sandbox" }),
      start: () => Promise.resolve({ pid: 7, disconnect: () => Promise.resolve() }),
      sendInput: (_pid: number, line: string) => this.#answer(line),
      forget: () => (this.isForgotten = true),
      output: () => this.#output(),
    };
    return await AgentSession.start(processes as unknown as SandboxProcesses, ["agent"], "/", opts);
  }

  async *#output(): AsyncGenerator<{ readonly stream: "stdout"; readonly data: Uint8Array }> {
    for (;;) {
      for (const line of this.#said.splice(0)) yield { stream: "stdout", data: Buffer.from(line) };
      if (this.#said.length === 0) await new Promise<string>((resolve) => (this.#say = resolve));
    }
  }
}

describe("a turn of a coding agent that is cancelled", () => {
  async function cancelled(agent: Agent): Promise<string> {
    const session = await agent.session();
    const stop = new AbortController();
    const answer = agent.send;
    agent.send = async (method) => {
      if (method === "session/prompt") stop.abort(new Error("enough"));
      await answer(method);
    };
    return await session.prompt("work", { signal: stop.signal }).then(String, String);
  }

  it("says why it was, whatever the agent answers to that", async () => {
    const agent = new Agent();
    agent.send = (method) => {
      if (method === "session/cancel") agent.say({ id: 3, error: { code: 1, message: "aborted" } });
      return Promise.resolve();
    };
    expect(await cancelled(agent)).to.equal("Error: enough");
    expect(agent.asked.slice(2)).to.deep.equal(["session/prompt", "session/cancel"]);
    expect(agent.isForgotten).to.equal(false);
  });

  it("ends an agent that can't be told so", async () => {
    const agent = new Agent();
    agent.send = (method) =>
      method === "session/cancel" ? Promise.reject(new Error("no way there")) : Promise.resolve();
    expect(await cancelled(agent)).to.equal("Error: enough");
    expect(agent.isForgotten).to.equal(true);
  });

  it("answers what the agent has asked by then: it may ask nothing else before", async () => {
    const agent = new Agent();
    const options = [{ optionId: "once", name: "Allow", kind: "allow_once" }];
    agent.send = (method) => {
      if (method === "session/prompt")
        agent.say({ id: 9, method: "session/request_permission", params: { sessionId: "s", toolCall: {}, options } });
      if (method === "session/cancel") agent.say({ id: 3, result: { stopReason: "cancelled" } });
      return Promise.resolve();
    };
    let isAsked = (): void => undefined;
    const asked = new Promise<void>((resolve) => (isAsked = resolve));
    const session = await agent.session({
      onPermission: () => {
        isAsked();
        return new Promise<never>(() => undefined);
      },
    });
    const turn = session.prompt("work");
    await asked;
    await session.cancel();
    expect((await turn).stopReason).to.equal("cancelled");
    expect(agent.answers).to.deep.equal([{ outcome: { outcome: "cancelled" } }]);
  });
});
