import { stage } from "../../base/stage.js";
import type { PlannedAgent } from "../../agents/presets/presets.js";
import type { Container } from "../../runtime/container/container.js";
import type { Deps } from "../../runtime/deps.js";
import { filesOf } from "./container-files.js";

const writeLimitMs = 20_000;
/** They are the machine's, not a user's. */
const scope = { user: "0:0", base: "/" };

/** What a coding agent reads before it begins: there before its sandbox is handed out. */
export async function writeAgentFiles(
  agent: PlannedAgent | undefined,
  container: Container,
  engine: Deps,
  signal: AbortSignal,
): Promise<void> {
  if (agent === undefined || agent.files.length === 0) return;
  const files = filesOf(container, engine);
  for (const { path, content } of agent.files) {
    await stage(`write ${path}`, writeLimitMs, signal, (limit) =>
      files.write(path, scope, bodyOf(content), { parents: true, mode: 0o644 }, limit),
    );
  }
}

async function* bodyOf(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text));
}
