import { RuntimeError } from "../../base/errors.js";
import type { ListImagesResponse } from "../../gen/runtime/v1/api.js";

/** CRI ListImages: not built. */
export function listImages(): Promise<ListImagesResponse> {
  throw new RuntimeError("unimplemented", "not built yet", { stage: "ListImages" });
}
