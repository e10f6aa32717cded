import type { ClientReadableStream } from "@grpc/grpc-js";
import { isIP } from "node:net";
import { RuntimeError } from "../../base/errors.js";
import { anyOf } from "../../base/signals.js";
import { stage } from "../../base/stage.js";
import type { ServePortResponse } from "../../gen/agent/v1/agent.js";
import type { WaitingConnection } from "./agent-client.js";
import { answersOf } from "./answers-of.js";
import type { CallScope } from "./call-scope.js";
import { broken } from "./wire-scan.js";

const name = "serve port";
/** Listening is one system call of a guest that answers. */
const listenMs = 20_000;

/** Opens the call, and resolves when the agent listens. What it gives tells of those who wait; leaving it ends the call. */
export async function servePort(
  scope: CallScope,
  signal: AbortSignal,
  open: () => ClientReadableStream<ServePortResponse>,
): Promise<AsyncGenerator<WaitingConnection, void>> {
  await scope.rest.awake(anyOf(signal, scope.closed));
  const end = new AbortController();
  const answers = answersOf(scope, { name, stallMs: null }, anyOf(signal, end.signal), open);
  try {
    const first = await stage(`agent ${name}`, listenMs, signal, () => answers.next());
    if (first.done === true) throw new RuntimeError("unavailable", "no answer", { stage: `agent ${name}` });
    if (first.value.connectionId !== 0n) throw wrong(scope, "a connection before its port is listened on");
  } catch (thrown) {
    end.abort();
    throw thrown;
  }
  return waiting(scope, answers);
}

async function* waiting(
  scope: CallScope,
  answers: AsyncGenerator<ServePortResponse, void>,
): AsyncGenerator<WaitingConnection, void> {
  let last = 0n;
  for await (const { connectionId: id, peer } of answers) {
    if (id <= last) throw wrong(scope, `connection ${String(id)} after ${String(last)}`);
    last = id;
    yield { id, peer: isAddress(peer) ? peer : "" };
  }
}

/** Such an agent is not one of ours: its Box is ended. */
function wrong(scope: CallScope, what: string): RuntimeError {
  const reason = broken(`${what}, in an answer of ServePort`);
  scope.break(reason);
  return reason;
}

function isAddress(peer: string): boolean {
  const [, v6, v4] = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):\d{1,5}$/.exec(peer) ?? [];
  return isIP(v6 ?? "") === 6 || isIP(v4 ?? "") === 4;
}
