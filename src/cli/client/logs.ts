import { ProcessServiceService as service, type ConnectProcessRequest } from "../../gen/sandboxes/v1/processes.js";
import { exitStatus, parseFlags, usageError } from "../command.js";
import type { Edge } from "./connect.js";
import { findSandbox } from "./find-sandbox.js";
import { edgeOf, endpointFlag, wholeNumber } from "./flags.js";
import { mainTag } from "./run.js";
import { followProcess, write } from "./run-process.js";

const options = { ...endpointFlag, follow: { type: "boolean", short: "f" }, process: { type: "string" } } as const;
const mostProcesses = 4_294_967_295;

/** `logs`: what `run`'s program has written, or that of another process of the sandbox, as far as it is kept. */
export async function logs(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options, allowPositionals: true });
  const [said, more] = positionals;
  if (said === undefined || more !== undefined) throw usageError("logs: of which one sandbox?");
  using edge = await edgeOf(values);
  const { id: sandboxId } = await findSandbox(edge, said);
  const number = values.process === undefined ? undefined : wholeNumber("process", values.process, mostProcesses);
  const selector = { id: number, tag: number === undefined ? mainTag : undefined };
  const { process: shown } = await edge.call(service.getProcess, { sandboxId, process: selector });
  const from = { start: {}, unseen: undefined, now: undefined, offset: undefined };
  const request: ConnectProcessRequest = { sandboxId, process: selector, ...from };
  const hasEnded = shown?.exit !== undefined;
  if (values.follow === true || hasEnded) await followProcess(edge, request);
  else await showSoFar(edge, request);
  return exitStatus.ok;
}

const quietMs = 300;

/** Of one that runs on: until nothing more has come for a moment, or what was written when this began is shown. */
async function showSoFar(edge: Edge, request: ConnectProcessRequest): Promise<void> {
  const most = await writtenUntilNow(edge, request);
  let timer: NodeJS.Timeout | undefined;
  const stop = new AbortController();
  const again = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      stop.abort();
    }, quietMs);
  };
  for await (const { event } of edge.events(service.connectProcess, request, stop.signal)) {
    again();
    if (event?.exit !== undefined) break;
    if (event?.output === undefined) continue;
    const { data, offset } = event.output;
    await write(process.stdout, data);
    if (most !== undefined && offset + BigInt(data.length) >= most) break;
  }
  clearTimeout(timer);
}

/** In bytes; undefined for a program that is silent: then all that comes was written before. */
async function writtenUntilNow(edge: Edge, request: ConnectProcessRequest): Promise<bigint | undefined> {
  const fromNow = { ...request, start: undefined, now: {} };
  for await (const { event } of edge.events(service.connectProcess, fromNow, AbortSignal.timeout(quietMs))) {
    if (event?.output !== undefined) return event.output.offset;
    if (event?.exit !== undefined) return undefined;
  }
  return undefined;
}
