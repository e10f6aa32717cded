import { packageVersion } from "../../base/version.js";
import type { VersionRequest, VersionResponse } from "../../gen/runtime/v1/api.js";

/**
 * CRI Version. `version` is the kubelet's runtime API version and must be exactly "0.1.0"; the name becomes the prefix
 * of container ids and never changes. Source: api.proto, message VersionResponse; kubelet NewKubeGenericRuntimeManager.
 */
export async function version(_request: VersionRequest): Promise<VersionResponse> {
  return { version: "0.1.0", runtimeName: "a3s-box", runtimeVersion: packageVersion(), runtimeApiVersion: "v1" };
}
