/**
 * E2B's protocol, as its unmodified SDKs speak it: their control REST, and for each sandbox what they take for envd and
 * every port of a program in it. `E2B_API_URL` and `E2B_SANDBOX_URL` are the one port's address (docs/guide/e2b.md).
 */
import type { HttpProtocol } from "../listen/protocol.js";
import { ControlPlane } from "./control/control-plane.js";
import { DataPlane } from "./data-plane.js";
import { Watchers } from "./filesystem/watchers.js";
import type { E2bOptions } from "./options.js";

export interface E2b {
  /** In the order in which they are to be asked: what names a sandbox goes there whatever its path is. */
  readonly protocols: readonly HttpProtocol[];
  /** Ends what lives between two requests. */
  close(): void;
}

export function e2b(options: E2bOptions): E2b {
  const watchers = new Watchers();
  return {
    protocols: [new DataPlane(options, watchers), new ControlPlane(options)],
    close: () => {
      watchers.close();
    },
  };
}
