import { RuntimeError } from "../../base/errors.js";
import type { CheckpointPodResponse } from "../../gen/runtime/v1/api.js";

/** CRI CheckpointPod: not built. */
export function checkpointPod(): Promise<CheckpointPodResponse> {
  throw new RuntimeError("unimplemented", "pods cannot be checkpointed", { stage: "CheckpointPod" });
}
