import { once } from "node:events";
import { exitStatus, parseFlags, print, usageError } from "../command.js";
import { findSandbox } from "./find-sandbox.js";
import { edgeOf, endpointFlag } from "./flags.js";
import { forwardPorts, portsOf } from "./forward-ports.js";

/** `port-forward`: ports of this machine's loopback that lead into a sandbox, until Ctrl-C. */
export async function portForward(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options: endpointFlag, allowPositionals: true });
  const [said, ...ports] = positionals;
  if (said === undefined || ports.length === 0) throw usageError("port-forward: to which sandbox, and which ports?");
  const pairs = portsOf(ports);
  using edge = await edgeOf(values);
  const { id } = await findSandbox(edge, said);
  await using forwarded = await forwardPorts(edge, id, pairs);
  for (const [at, { remote }] of pairs.entries()) {
    print(`127.0.0.1:${String(forwarded.locals[at] ?? 0)} -> ${id}:${String(remote)}\n`);
  }
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  return exitStatus.ok;
}
