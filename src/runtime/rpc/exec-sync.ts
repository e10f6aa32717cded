import { RuntimeError } from "../../base/errors.js";
import type { ExecSyncResponse } from "../../gen/runtime/v1/api.js";

/** CRI ExecSync: not built. */
export function execSync(): Promise<ExecSyncResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "ExecSync" });
}
