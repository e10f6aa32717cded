import { ProcessServiceService as service, type ConnectProcessRequest } from "../../gen/sandboxes/v1/processes.js";
import { exitStatus, parseFlags, usageError } from "../command.js";
import { findSandbox } from "./find-sandbox.js";
import { edgeOf, endpointFlag, wholeNumber } from "./flags.js";
import { mainTag } from "./run.js";
import { followProcess } from "./run-process.js";

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

/** Of one that runs on: until nothing more has come for a moment. */
async function showSoFar(edge: Awaited<ReturnType<typeof edgeOf>>, request: ConnectProcessRequest): Promise<void> {
  const quietMs = 300;
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
    if (event?.output !== undefined) process.stdout.write(event.output.data);
    if (event?.exit !== undefined) break;
  }
  clearTimeout(timer);
}
