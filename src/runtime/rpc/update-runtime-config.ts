import type { UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext } from "../deps.js";

/** CRI UpdateRuntimeConfig: the node's pod CIDR. CNI's own config has the addresses, so it is only logged. */
export async function updateRuntimeConfig(
  request: UpdateRuntimeConfigRequest,
  call: CallContext,
): Promise<UpdateRuntimeConfigResponse> {
  call.log.info({ podCidr: request.runtimeConfig?.networkConfig?.podCidr }, "pod CIDR received");
  return {};
}
