import { constants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { ProcessServiceService as processes } from "../../gen/sandboxes/v1/processes.js";
import { SandboxServiceService as service } from "../../gen/sandboxes/v1/sandboxes.js";
import { parseFlags, usageError } from "../command.js";
import type { Edge } from "./connect.js";
import { each } from "./each.js";
import { allSandboxes, findSandbox } from "./find-sandbox.js";
import { edgeOf, endpointFlag, wholeNumber } from "./flags.js";

const stopOptions = { ...endpointFlag, time: { type: "string", short: "t" } } as const;
const rmOptions = { ...endpointFlag, all: { type: "boolean", short: "a" } } as const;
const usualGraceSeconds = 10;
const mostGraceSeconds = 3600;
const lookMs = 100;

/** `stop`: SIGTERM to all programs of a sandbox, some time for them to end, and its end. */
export async function stop(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options: stopOptions, allowPositionals: true });
  if (positionals.length === 0) throw usageError("stop: which sandboxes?");
  const graceSeconds =
    values.time === undefined ? usualGraceSeconds : wholeNumber("time", values.time, mostGraceSeconds);
  using edge = await edgeOf(values);
  return await each(positionals, async (said) => {
    const { id } = await findSandbox(edge, said);
    await quit(edge, id, graceSeconds * 1000);
    await edge.call(service.endSandbox, { sandboxId: id });
  });
}

/** `rm`: the end of sandboxes, with all that is in them, at once. */
export async function rm(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options: rmOptions, allowPositionals: true });
  if (positionals.length === 0 && values.all !== true) throw usageError("rm: which sandboxes? (-a: all)");
  using edge = await edgeOf(values);
  const said = values.all === true ? (await allSandboxes(edge)).map(({ id }) => id) : positionals;
  return await each(said, async (one) => {
    const { id } = await findSandbox(edge, one);
    await edge.call(service.endSandbox, { sandboxId: id });
  });
}

async function quit(edge: Edge, sandboxId: string, graceMs: number): Promise<void> {
  const running = async () =>
    (await edge.call(processes.listProcesses, { sandboxId })).processes.filter(({ exit }) => exit === undefined);
  for (const { id } of await running()) {
    const request = { sandboxId, process: { id, tag: undefined }, signal: constants.signals.SIGTERM, all: false };
    await edge.call(processes.signalProcess, request).catch(() => undefined); // it may just have ended
  }
  const end = Date.now() + graceMs;
  while ((await running()).length > 0 && Date.now() < end) await delay(lookMs);
}
