import { RuntimeError } from "../../base/errors.js";
import type { ExecResponse } from "../../gen/runtime/v1/api.js";

/** CRI Exec: not built. */
export function exec(): Promise<ExecResponse> {
  throw new RuntimeError("unimplemented", "streaming is not built yet; ExecSync is", { stage: "Exec" });
}
