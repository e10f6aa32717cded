import { RuntimeError } from "../../base/errors.js";
import type { CheckpointContainerResponse } from "../../gen/runtime/v1/api.js";

/** CRI CheckpointContainer: not built. */
export function checkpointContainer(): Promise<CheckpointContainerResponse> {
  throw new RuntimeError("unimplemented", "containers cannot be checkpointed", {
    stage: "CheckpointContainer",
  });
}
