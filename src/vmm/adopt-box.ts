import type { BoxId } from "../base/ids.js";
import type { Logger } from "../base/log.js";
import type { Native } from "../native/addon.js";
import { connectAgent } from "./agent/connect-agent.js";
import type { BoxHandle } from "./box.js";
import { boxDirectoryAt } from "./box-directory.js";
import { BoxProcesses } from "./box-processes.js";
import { partsOf } from "./drivers/parts.js";
import { explainExit } from "./explain-exit.js";
import { RunningBox } from "./running-box.js";

export interface AdoptDeps {
  readonly native: Native;
  readonly log: Logger;
  readonly healthTimeoutMs: number;
}

const killLimitMs = 10_000;

/**
 * Takes over a Box that another daemon has booted: finds its processes, watches them, opens the agent's channel. Null
 * when one of them has gone; what is left of it has then been killed. Does not wait for the agent: a guest that is
 * busy is still a Box.
 */
export async function adoptBox(deps: AdoptDeps, id: BoxId, handle: BoxHandle): Promise<RunningBox | null> {
  const { native, log, healthTimeoutMs } = deps;
  const directory = boxDirectoryAt(handle.directory);
  const processes = new BoxProcesses(native, (reason) => explainExit(reason, directory));
  let complete = handle.processes.some(({ role }) => role !== "fs");
  for (const { role, pid, startTime } of handle.processes) {
    const pidfd = await native.adoptProcess(pid, startTime);
    if (pidfd === null) complete = false;
    else processes.add(role, { pid, pidfd, startTime });
  }
  if (!complete) {
    await processes.kill(AbortSignal.timeout(killLimitMs));
    return null;
  }
  const agent = connectAgent({ socketPath: directory.agentSocket, booting: null }, id);
  const parts = partsOf(id, directory, handle, native);
  return new RunningBox({ id, handle, directory, processes, agent, parts, log, healthTimeoutMs, adopted: true });
}
