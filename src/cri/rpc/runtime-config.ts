import { CgroupDriver, type RuntimeConfigRequest, type RuntimeConfigResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";

/**
 * CRI RuntimeConfig. The driver is always said: an unset one means SYSTEMD (pkg/kubelet/kubelet.go, initRuntime), and kubelet would then hand
 * out `.slice` cgroups.
 */
export async function runtimeConfig(
  _request: RuntimeConfigRequest,
  _call: CallContext,
  { config }: Deps,
): Promise<RuntimeConfigResponse> {
  const cgroupDriver = config.cgroup.driver === "systemd" ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS;
  return await Promise.resolve({ linux: { cgroupDriver } });
}
