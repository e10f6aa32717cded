import { anyOf } from "../../base/signals.js";
import { RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import { orAborted } from "../../base/or-aborted.js";
import type { ByteSink, CommandStreams } from "../../streaming/requests.js";
import type { AgentClient } from "../../vmm/agent/agent-client.js";
import type { Container } from "../container/container.js";
import { requireRunning } from "./exec-process.js";
import { initOf } from "../container/follow.js";
import { undoLimitMs } from "../container/limits.js";
import type { Deps } from "../deps.js";
import { feedStdin, followSizes } from "./feed.js";

/**
 * Joins a client with a container's init: its output from now on, its stdin, its terminal's size. Ends with the
 * container's output, or when the client goes; the container runs on. A stdin that was to be open once is closed when the client's ends; without that the end of the client's stdin ends the
 * session, as in containerd.
 */
export async function attachSession(
  container: Container,
  streams: CommandStreams,
  deps: Deps,
  signal: AbortSignal,
): Promise<void> {
  requireRunning(container);
  const { agent } = await deps.sandboxes.require(container.sandboxId).liveBox(signal);
  const { follower, spec } = container;
  if (follower === undefined) {
    throw new RuntimeError("failedPrecondition", `container ${shortId(container.id)} has no output to attach to`);
  }
  const over = new AbortController();
  const alive = anyOf(signal, over.signal);
  const tap = follower.taps.open();
  try {
    if (spec.tty) void followSizes(agent, initOf(container), streams.sizes, alive, deps.log);
    const output = Promise.all([copy(tap.stdout, streams.stdout), copy(tap.stderr, streams.stderr)]);
    const ends: Promise<unknown>[] = [output];
    const stdin = streams.stdin;
    if (spec.stdin && stdin !== undefined) ends.push(attachStdin(container, stdin, agent, output, alive));
    await orAborted(Promise.race(ends), signal);
    tap.throwIfCutOff();
  } finally {
    over.abort();
    tap.close();
  }
}

async function copy(from: AsyncIterable<Uint8Array>, to: ByteSink | undefined): Promise<void> {
  for await (const bytes of from) await to?.write(bytes);
}

/** Resolves when the session is to end. */
async function attachStdin(
  container: Container,
  stdin: AsyncIterable<Uint8Array>,
  agent: AgentClient,
  output: Promise<unknown>,
  alive: AbortSignal,
): Promise<void> {
  const { stdinOnce, tty } = container.spec;
  const closes = stdinOnce && !tty;
  await feedStdin(agent, initOf(container), stdin, closes, alive);
  if (!closes) return;
  // A client that has gone could not say so any more.
  if (alive.aborted && container.state === "running") {
    await agent
      .input(initOf(container), AbortSignal.timeout(undoLimitMs))
      .end()
      .catch(() => undefined);
  }
  await output;
}
