/** What an agent asks its client before it does something, and the client's answers: each question is answered once. */
import { eventually } from "../wait.js";
import { member, type AcpConversation } from "./acp-conversation.js";

export class AcpQuestions {
  readonly #limitMs: number;
  readonly #answered = new Set<unknown>();

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** The id of one that is open. */
  async asked(client: AcpConversation): Promise<unknown> {
    return await eventually("a question", this.#limitMs, () => this.#open(client));
  }

  allow(client: AcpConversation, id: unknown): void {
    this.#answer(client, id, { outcome: "selected", optionId: "once" });
  }

  /** ACP wants an answer to what was asked when a turn is cancelled; opencode asks nothing else before it has it. */
  cancel(client: AcpConversation, id: unknown): void {
    this.#answer(client, id, { outcome: "cancelled" });
  }

  /** The turn's stop reason, when whatever is asked is allowed. */
  async allowed(client: AcpConversation, turn: number): Promise<unknown> {
    return await eventually("the turn's end", this.#limitMs, () => {
      const id = this.#open(client);
      if (id !== undefined) this.allow(client, id);
      const end = client.messages.find((one) => one["id"] === turn && one["method"] === undefined);
      return end === undefined ? undefined : member(end["result"], "stopReason");
    });
  }

  #open({ messages }: AcpConversation): unknown {
    const isOpen = ({ id, method }: (typeof messages)[number]): boolean =>
      method === "session/request_permission" && !this.#answered.has(id);
    return messages.find(isOpen)?.["id"];
  }

  #answer(client: AcpConversation, id: unknown, outcome: object): void {
    this.#answered.add(id);
    client.answer(id, { outcome });
  }
}
