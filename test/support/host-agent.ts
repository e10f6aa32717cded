/** The agent as a process of this machine, without sessions of any worth: for what of it needs no guest. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AgentClient } from "../../src/vmm/agent/agent-client.js";
import { connectAgent } from "../../src/vmm/agent/connect-agent.js";
import { projectDirectory } from "./project.js";
import { limit } from "./wait.js";

export interface HostAgent extends AsyncDisposable {
  readonly client: AgentClient;
  /** As a daemon that has gone, and the next one. */
  reconnect(): AgentClient;
}

export async function startHostAgent(): Promise<HostAgent> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-agent-"));
  const socketPath = join(directory, "agent.sock");
  const assets = process.env["A3S_TEST_ASSETS"] ?? join(projectDirectory, "build/assets");
  const program = join(assets, "guest/usr/bin/agent");
  const child = spawn(program, ["serve-unix", socketPath], { stdio: "ignore" });
  const connected = (): AgentClient => connectAgent({ socketPath, booting: null }, "box");
  let client = connected();
  await client.hello(AbortSignal.timeout(limit(20_000)));
  return {
    client,
    reconnect: () => {
      client.close("the daemon has gone");
      client = connected();
      return client;
    },
    [Symbol.asyncDispose]: async () => {
      client.close("the test is over");
      child.kill("SIGKILL");
      await rm(directory, { recursive: true, force: true });
    },
  };
}
