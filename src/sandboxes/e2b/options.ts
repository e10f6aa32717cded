import type { Logger } from "../../base/log.js";
import type { Sandboxes } from "../core/sandboxes.js";

export interface E2bOptions {
  readonly sandboxes: Sandboxes;
  readonly log: Logger;
  /** Names of the configuration's templates: those that `GET /templates/aliases/NAME` knows. */
  readonly templates: readonly string[];
  /** Absent: clients must be told the address of the data plane (`E2B_SANDBOX_URL`). */
  readonly domain?: string;
  /** Absent: `E2B_DEBUG=true` of the clients finds nothing. */
  readonly debugSandbox?: DebugSandbox;
}

/**
 * Clients in debug mode make no sandbox: they call http://localhost:49983 and http://localhost:49999, and mean one that is
 * there. The daemon must listen at these ports of the loopback besides its own (`tcp://127.0.0.1:49983` and `:49999`);
 * what comes in there without the name of a sandbox is for the caller's default one, which is made when it is first used.
 */
export interface DebugSandbox {
  readonly template: string;
  /** Each is both the listener's and the sandbox's: 49983 is envd, 49999 the code interpreter. */
  readonly ports: readonly number[];
}

/** envd's, by the clients: what comes to it is answered here, and no such port is asked for in the sandbox. */
export const envdPort = 49_983;

/** What the SDKs go by when they choose what to use: all of envd that they ask for up to that version is there. */
export const envdVersion = "0.6.13";
