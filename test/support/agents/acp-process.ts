/** A client of ACP by a program's standard input and output, as `kubectl exec -i` has them. */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { eventually } from "../wait.js";
import { acpConversation, messageIn, type AcpConversation, type Message } from "./acp-conversation.js";

export interface AcpProcess extends AcpConversation {
  /** What it has written to standard error. */
  errors(): string;
  /** Ends its input; answers its exit code, once it has ended. */
  finish(): Promise<number>;
  /** Waits for its end, whatever it is that ends it; answers its exit code. */
  ended(): Promise<number>;
  kill(): void;
}

export function acpProcess(child: ChildProcess): AcpProcess {
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("its three streams are to be pipes");
  const messages: Message[] = [];
  let errors = "";
  let end: string | undefined;
  stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  createInterface({ input: stdout }).on("line", (line) => {
    const message = messageIn(line);
    if (message !== undefined) messages.push(message);
  });
  child.once("close", (code, signal) => {
    end = `${String(code ?? signal)}: ${errors}`;
  });
  stdin.on("error", () => undefined); // It has ended: that is seen by its end.
  const ended = (): Promise<number> =>
    eventually("its end", 60_000, () => (end === undefined ? undefined : (child.exitCode ?? 1)));
  return {
    ...acpConversation(
      (text) => stdin.write(`${text}\n`),
      messages,
      () => end,
    ),
    ...{ ended, errors: () => errors },
    finish: async () => {
      stdin.end();
      return await ended();
    },
    kill: () => {
      child.kill("SIGKILL");
    },
  };
}
