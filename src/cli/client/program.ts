import type { StartProcessRequest } from "../../gen/sandboxes/v1/processes.js";
import { usageError } from "../command.js";
import { envOf } from "./flags.js";

interface ProgramValues {
  readonly interactive?: boolean | undefined;
  readonly tty?: boolean | undefined;
  readonly env?: readonly string[] | undefined;
  readonly user?: string | undefined;
  readonly workdir?: string | undefined;
}

/** What the flags of `run` and `exec` say of a program. `tag`: by which `logs` finds it again. */
export function programOf(
  sandboxId: string,
  args: readonly string[],
  values: ProgramValues,
  tag: string,
): StartProcessRequest {
  if (values.tty === true && !process.stdin.isTTY) {
    throw usageError("-t wants a terminal, and standard input is none: leave it out");
  }
  return {
    sandboxId,
    args: [...args],
    env: { ...(values.tty === true ? { TERM: process.env["TERM"] ?? "xterm" } : {}), ...envOf(values.env) },
    workingDir: values.workdir ?? "",
    user: values.user ?? "",
    terminal: values.tty === true ? { columns: 80, rows: 24 } : undefined,
    stdin: values.interactive === true,
    tag,
    limitMs: 0n,
    startId: "",
  };
}
