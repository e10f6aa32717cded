import { RuntimeError } from "../../base/errors.js";
import type { VersionResponse } from "../../gen/runtime/v1/api.js";

/** CRI Version: not built. */
export function version(): Promise<VersionResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "Version" });
}
