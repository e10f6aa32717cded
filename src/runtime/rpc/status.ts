import { packageVersion } from "../../base/version.js";
import type { StatusRequest, StatusResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { boxHandlers } from "../sandbox/check-request.js";

/**
 * CRI Status. Both conditions that kubelet asks for are there (kubelet.md 2.2); an entry per handler, "" included (2.3).
 * NetworkReady is false as long as sandboxes have only a loopback.
 */
export async function status(request: StatusRequest, _call: CallContext, deps: Deps): Promise<StatusResponse> {
  return {
    status: {
      conditions: [
        { type: "RuntimeReady", status: true, reason: "", message: "" },
        {
          type: "NetworkReady",
          status: false,
          reason: "NetworkPluginNotReady",
          message: "CNI is not built yet: sandboxes have a network namespace with a loopback only",
        },
      ],
    },
    runtimeHandlers: boxHandlers.map((name) => ({
      name,
      features: { recursiveReadOnlyMounts: false, userNamespaces: false },
    })),
    features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false, mountOptions: false },
    info: request.verbose ? verboseInfo(deps) : {},
  };
}

function verboseInfo(deps: Deps): Record<string, string> {
  const { boxes, config, sandboxes } = deps;
  return {
    driver: JSON.stringify({ name: boxes.driver, reason: boxes.reason, configured: config.driver }),
    versions: JSON.stringify({ runtime: packageVersion(), node: process.versions.node, cri: "v1" }),
    config: JSON.stringify(config),
    sandboxes: JSON.stringify({ known: sandboxes.list().length }),
  };
}
