import { monotonicMs } from "../../base/clock.js";
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import type { Logger } from "../../base/log.js";
import { sleep } from "../../base/stage.js";
import type { AgentClient, WaitingConnection } from "../../vmm/agent/agent-client.js";
import type { Places } from "./places.js";
import { PortStream } from "./port-stream.js";
import type { Rate } from "./rate.js";
import type { ServedPort } from "./served-by-host.js";

/** The daemon may go and come again meanwhile. */
const waitMs = 15_000;
const shortestPauseMs = 100;
const longestPauseMs = 5_000;

/** What one port of a pod is served with. */
export interface PortServing {
  readonly port: ServedPort;
  readonly agent: AgentClient;
  /** Of all ports of the pod. */
  readonly places: Places;
  readonly rate: Rate;
  readonly log: Logger;
  /** The pod ends: its agent goes before its Box does, and nobody has to be told. */
  readonly isEnding: () => boolean;
  /** A connection, and who the guest says it is of. Must not throw. */
  readonly connected: (stream: PortStream, peer: string) => void;
}

/**
 * Has the agent listen, and serves the port until the signal aborts, over lost connections to the agent. Resolves when it is
 * listened on for the first time; throws where the agent can't.
 */
export async function servePort(serving: PortServing, signal: AbortSignal): Promise<void> {
  const first = await listen(serving, signal);
  void onItsOwn(() => goOn(serving, first, signal));
}

/** The same, of a pod that may be too busy to answer: tries until it does. */
export function goOnServing(serving: PortServing, signal: AbortSignal): void {
  void onItsOwn(() => goOn(serving, undefined, signal));
}

async function listen(
  { agent, port: { port, address, mostConnections } }: PortServing,
  signal: AbortSignal,
): Promise<AsyncGenerator<WaitingConnection, void>> {
  return await agent.servePort({ port, anyAddress: address === "any", mostConnections, waitMs }, signal);
}

async function goOn(
  serving: PortServing,
  first: AsyncGenerator<WaitingConnection, void> | undefined,
  signal: AbortSignal,
): Promise<void> {
  let waiting = first;
  let failures = 0;
  while (!signal.aborted) {
    let listensSinceMs = Number.POSITIVE_INFINITY;
    let why: unknown = new RuntimeError("unavailable", "the agent listens no more");
    try {
      waiting ??= await listen(serving, signal);
      listensSinceMs = monotonicMs();
      for await (const one of waiting) await takeUp(serving, one, signal);
    } catch (thrown) {
      why = thrown;
    }
    waiting = undefined;
    // One that listens and hangs up at once is no better than one that does not answer.
    failures = monotonicMs() - listensSinceMs > longestPauseMs ? 1 : failures + 1;
    tellFailure(serving, failures, why, signal);
    await sleep(Math.min(shortestPauseMs * 2 ** (failures - 1), longestPauseMs), signal).catch(() => undefined);
  }
}

/** Once, where the second try has not helped: a connection to the agent may be lost and made again. */
function tellFailure(serving: PortServing, failures: number, why: unknown, signal: AbortSignal): void {
  if (signal.aborted) return;
  const fields = { port: serving.port.port, code: codeOf(why), err: messageOf(why) };
  const isWorth = failures === 2 && !serving.isEnding();
  if (isWorth) serving.log.warn(fields, "a port that the host serves in the pod can't be reached; it is tried again");
  else serving.log.debug(fields, "a port that the host serves in the pod can't be reached");
}

/** The next one is not asked for before there is a place: those that wait, wait in the guest. */
async function takeUp(serving: PortServing, { id, peer }: WaitingConnection, signal: AbortSignal): Promise<void> {
  await serving.rate.take(signal);
  const leave = await serving.places.take(signal);
  void onItsOwn(async () => {
    try {
      const stream = new PortStream(await serving.agent.takeConnection(id, signal));
      const destroy = (): void => {
        stream.destroy();
      };
      signal.addEventListener("abort", destroy, { once: true });
      stream.once("close", () => {
        signal.removeEventListener("abort", destroy);
        leave();
      });
      stream.on("error", () => undefined); // "close" follows
      serving.connected(stream, peer);
    } catch (thrown) {
      leave();
      if (!signal.aborted) {
        serving.log.debug({ port: serving.port.port, err: messageOf(thrown) }, "a connection waited no more");
      }
    }
  });
}
