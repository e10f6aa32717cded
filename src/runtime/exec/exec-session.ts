import { anyOf } from "../../base/signals.js";
import { Stream } from "../../gen/agent/v1/agent.js";
import type { CommandStreams } from "../../streaming/requests.js";
import { withExec } from "./exec-process.js";
import type { ExecSpec } from "./exec-spec.js";
import type { Container } from "../container/container.js";
import type { Deps } from "../deps.js";
import { feedStdin, followSizes } from "./feed.js";

/**
 * Runs a command with a client at its streams; answers its exit code. A client that goes (the signal) costs the command
 * its life, with all it has started.
 */
export async function execSession(
  container: Container,
  { args, terminal }: Pick<ExecSpec, "args" | "terminal">,
  streams: CommandStreams,
  deps: Deps,
  signal: AbortSignal,
): Promise<number> {
  const { stdin, stdout, stderr, sizes } = streams;
  const spec = { args, terminal, stdin: stdin !== undefined };
  return await withExec(container, "exec", spec, deps, signal, async (process, { agent }) => {
    const over = new AbortController();
    const alive = anyOf(signal, over.signal);
    const reader = agent.output(process, 0n, true, alive);
    if (stdin !== undefined) void feedStdin(agent, process, stdin, true, alive);
    if (terminal) void followSizes(agent, process, sizes, alive, deps.log);
    try {
      // It ends soon after the exit, also when something in the background holds the pipes (agent.proto, Output).
      for await (const chunk of reader) {
        await (chunk.stream === Stream.STDERR ? stderr : stdout)?.write(chunk.data);
        if (chunk.end) break;
      }
      return (await agent.wait(process, signal)).code & 0xff;
    } finally {
      over.abort();
      reader.close();
    }
  });
}
