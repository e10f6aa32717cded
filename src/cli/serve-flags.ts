import type { ConfigFlags } from "../config/load.js";
import { sidecarUrl } from "../config/sidecar-url.js";
import { configFlags, parseFlags } from "./command.js";

/**
 * Flags of `serve`. `--sandboxes` may stand alone: a sidecar needs no address. The environment may have the token of who
 * calls by TCP, as it has it for the commands that are clients: a container's is set where everything of it is.
 */
export function serveFlags(args: readonly string[], env: NodeJS.ProcessEnv = process.env): ConfigFlags {
  const filled = args.map((word, at) => {
    const next = args[at + 1];
    return word === "--sandboxes" && (next === undefined || next.startsWith("-")) ? `--sandboxes=${sidecarUrl}` : word;
  });
  const text = { type: "string" } as const;
  const { values } = parseFlags({
    args: filled,
    options: { ...configFlags, metrics: text, sandboxes: text, cri: text, plain: { type: "boolean" } } as const,
  });
  return { ...values, token: tokenFrom(env) };
}

function tokenFrom({ A3S_BOX_TOKEN: token, A3S_BOX_TOKEN_FILE: file }: NodeJS.ProcessEnv): ConfigFlags["token"] {
  if (file !== undefined && file !== "") return { token_file: file };
  return token === undefined || token === "" ? undefined : { token_env: "A3S_BOX_TOKEN" };
}
