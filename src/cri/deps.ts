import type { Logger } from "../base/log.js";
import type { Deps as EngineDeps } from "../runtime/deps.js";
import type { DevicePlugin } from "../device-plugin/device-plugin.js";
import type { StreamingServer } from "../streaming/server.js";

/** One call of one RPC. */
export interface CallContext {
  /** Aborted when the caller has gone or the RPC's own limit has passed. */
  readonly signal: AbortSignal;
  /** The RPC's name as in the proto: "StopContainer". */
  readonly rpc: string;
  /** Bound to the RPC; bind ids with `child`. */
  readonly log: Logger;
}

/** What every RPC works with: the engine's parts and the edge's own. Made once, in `cli/open-parts.ts`. */
export interface Deps extends EngineDeps {
  /** Where clients of Exec, Attach and PortForward come to. */
  readonly streaming: StreamingServer;
  /** Undefined where the configuration has none. */
  readonly devicePlugin?: Pick<DevicePlugin, "facts" | "run"> | undefined;
}
