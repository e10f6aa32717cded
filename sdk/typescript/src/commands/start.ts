/** Starting a program, once, whatever becomes of the connection; what has not come about is taken back. */
import { randomUUID } from "node:crypto";
import type { Call, Connection } from "../connection.js";
import { ProcessNotFoundError } from "../errors.js";
import {
  ProcessServiceService as service,
  StartProcessRequest,
  type Process,
  type ProcessSelector,
  type Terminal,
} from "../gen/sandboxes/v1/processes.js";
import { follow, type Begin, type Followed } from "./follow.js";

const forgetMs = 10_000;

export interface Wanted {
  /** A line for the sandbox's shell, or a program with its arguments. */
  readonly command: string | readonly string[];
  /** What comes before a line. */
  readonly shell?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly user: string;
  readonly terminal?: Terminal;
  readonly stdin: boolean;
  readonly limitMs: number;
}

export interface Running {
  readonly process: Process;
  /** What comes next: from its first byte. */
  readonly events: AsyncGenerator<Followed, void>;
  /** Ends the events. */
  readonly stop: AbortController;
}

/** By which program lines are run in a sandbox; what its image has is found out by the first. */
export interface Shell {
  program: "/bin/bash" | "/bin/sh";
}

/** By bash as people log in; where an image has none, by what its sh can do. */
export async function startProgram(
  connection: Connection,
  sandboxId: string,
  wanted: Wanted,
  shell: Shell,
  call: Call,
): Promise<Running> {
  const start = async (): Promise<Running> => {
    const request = StartProcessRequest.fromPartial({
      ...{ sandboxId, env: wanted.env, workingDir: wanted.workingDir, user: wanted.user, stdin: wanted.stdin },
      args: argsOf(wanted, shell),
      ...{ startId: randomUUID(), limitMs: BigInt(Math.ceil(wanted.limitMs)) },
      ...(wanted.terminal === undefined ? {} : { terminal: wanted.terminal }),
    });
    return await begun(connection, sandboxId, { kind: "run", start: request }, call);
  };
  try {
    return await start();
  } catch (thrown) {
    const isBash = typeof wanted.command === "string" && shell.program === "/bin/bash";
    if (!isBash || !(thrown instanceof ProcessNotFoundError)) throw thrown;
    shell.program = "/bin/sh";
    return await start();
  }
}

function argsOf({ command, shell = ["-l", "-c"] }: Wanted, { program }: Shell): string[] {
  if (typeof command !== "string") return [...command];
  return command === "" ? [program, ...shell] : [program, ...shell, command];
}

/** Resolves when the process is known. */
export async function begun(connection: Connection, sandboxId: string, begin: Begin, call: Call): Promise<Running> {
  const stop = new AbortController();
  const events = follow({ connection, sandboxId, call, signal: stop.signal }, begin);
  try {
    return await connection.limited(call, async (signal) => {
      const abort = (): void => {
        stop.abort(signal.reason);
      };
      signal.addEventListener("abort", abort, { once: true });
      try {
        signal.throwIfAborted();
        const first = await events.next();
        if (first.done === true || first.value.kind !== "process") throw new Error("the first event is no process");
        return { process: first.value.process, events, stop };
      } finally {
        signal.removeEventListener("abort", abort);
      }
    });
  } catch (thrown) {
    const gaveUp = stop.signal.aborted;
    stop.abort(thrown);
    // Whether it was started nobody knows: whoever has given up wants none.
    if (gaveUp && begin.kind === "run") forget(connection, sandboxId, { startId: begin.start.startId }, call);
    throw thrown;
  }
}

/** Kills what is left of it and drops its output. Nobody waits for it; what can't be forgotten ends with the sandbox. */
export function forget(connection: Connection, sandboxId: string, process: ProcessSelector, call: Call): void {
  const opts = { requestTimeoutMs: forgetMs };
  connection.repeatable(service.forgetProcess, { sandboxId, process }, { ...call, opts }).catch(() => undefined);
}
