import { RuntimeError } from "../../base/errors.js";
import type { ListMetricDescriptorsResponse } from "../../gen/runtime/v1/api.js";

/** CRI ListMetricDescriptors: not built. */
export function listMetricDescriptors(): Promise<ListMetricDescriptorsResponse> {
  throw new RuntimeError("unimplemented", "metrics over CRI are not built yet", { stage: "ListMetricDescriptors" });
}
