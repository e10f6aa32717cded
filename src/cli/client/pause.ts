import { SandboxServiceService as service } from "../../gen/sandboxes/v1/sandboxes.js";
import { parseFlags, usageError } from "../command.js";
import { each } from "./each.js";
import { findSandbox } from "./find-sandbox.js";
import { edgeOf, endpointFlag } from "./flags.js";

const options = { ...endpointFlag } as const;

/** `pause`: sandboxes stand still, with all that is in them. */
export async function pause(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options, allowPositionals: true });
  if (positionals.length === 0) throw usageError("pause: which sandboxes?");
  using edge = await edgeOf(values);
  return await each(positionals, async (said) => {
    await edge.call(service.pauseSandbox, { sandboxId: (await findSandbox(edge, said)).id });
  });
}

/** `resume`: they go on. */
export async function resume(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags({ args, options, allowPositionals: true });
  if (positionals.length === 0) throw usageError("resume: which sandboxes?");
  using edge = await edgeOf(values);
  return await each(positionals, async (said) => {
    await edge.call(service.resumeSandbox, { sandboxId: (await findSandbox(edge, said)).id });
  });
}
