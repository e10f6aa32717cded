import { CgroupDriver, type RuntimeConfigRequest, type RuntimeConfigResponse } from "../../gen/runtime/v1/api.js";

/**
 * CRI RuntimeConfig. CGROUPFS is said explicitly: an unset driver means SYSTEMD (kubelet.md 2.17), and kubelet would
 * then hand out `.slice` cgroups.
 */
export async function runtimeConfig(_request: RuntimeConfigRequest): Promise<RuntimeConfigResponse> {
  return { linux: { cgroupDriver: CgroupDriver.CGROUPFS } };
}
