import { RuntimeError } from "../../base/errors.js";
import type { ImageSpec } from "../../gen/runtime/v1/api.js";

/** The name in a request's ImageSpec; `invalidArgument` when there is none. */
export function requiredImageName(spec: ImageSpec | undefined): string {
  const name = spec?.image ?? "";
  if (name === "") throw new RuntimeError("invalidArgument", "image.image is empty", { hint: "name an image" });
  return name;
}
