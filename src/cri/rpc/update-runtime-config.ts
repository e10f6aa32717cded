import { isIP } from "node:net";
import { RuntimeError } from "../../base/errors.js";
import type { UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext } from "../deps.js";

/**
 * CRI UpdateRuntimeConfig: the node's pod CIDRs, with commas between them. CNI's own config has the addresses, so they are
 * only logged; what is none is refused, as containerd does.
 */
export async function updateRuntimeConfig(
  request: UpdateRuntimeConfigRequest,
  call: CallContext,
): Promise<UpdateRuntimeConfigResponse> {
  const podCidr = request.runtimeConfig?.networkConfig?.podCidr ?? "";
  const wrong = podCidr === "" ? undefined : podCidr.split(",").find((cidr) => !isCidr(cidr));
  if (wrong !== undefined) {
    const what = `runtime_config.network_config.pod_cidr: "${wrong}" is no address range`;
    throw new RuntimeError("invalidArgument", what, {
      hint: 'such as "10.1.0.0/16", several with commas between them',
    });
  }
  call.log.info({ podCidr }, "pod CIDR received");
  return {};
}

function isCidr(text: string): boolean {
  const [address = "", bits = "", ...rest] = text.split("/");
  const family = address.includes("%") ? 0 : isIP(address);
  return (
    family !== 0 && rest.length === 0 && /^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
  );
}
