import { nowNs } from "../../base/clock.js";
import { packageVersion } from "../../base/version.js";
import { shownConfig } from "../../config/shown-config.js";
import type {
  RuntimeCondition,
  RuntimeHandlerFeatures,
  StatusRequest,
  StatusResponse,
} from "../../gen/runtime/v1/api.js";
import type { DriverName } from "../../vmm/box.js";
import type { PoolFacts } from "../../vmm/pool/box-pool.js";
import type { CallContext, Deps } from "../deps.js";

/**
 * CRI Status. Both conditions that kubelet asks for are there (pkg/kubelet/kubelet.go, updateRuntimeUp); an entry per handler, "" included.
 * NetworkReady says whether a sandbox made now would get a network.
 */
export async function status(request: StatusRequest, call: CallContext, deps: Deps): Promise<StatusResponse> {
  return {
    status: {
      conditions: [{ type: "RuntimeReady", status: true, reason: "", message: "" }, await networkReady(call, deps)],
    },
    runtimeHandlers: Object.entries(deps.config.handlers).map(([name, { driver }]) => ({
      name,
      features: handlerFeatures(driver, deps),
    })),
    features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false, mountOptions: false },
    info: request.verbose ? verboseInfo(deps) : {},
  };
}

/**
 * CRI RuntimeHandlerFeatures: what every pod of the handler has. One that asks for the host's namespaces may live under
 * the native driver; it can't ask for a user namespace too (kubelet refuses hostUsers: false with those of the host).
 */
function handlerFeatures(driver: DriverName | undefined, { boxes, config }: Deps): RuntimeHandlerFeatures {
  const drivers = config.hostNamespaces === "native" ? [driver, "native" as const] : [driver];
  return {
    recursiveReadOnlyMounts: drivers.every((one) => boxes.mountsRecursiveReadOnly(one)),
    userNamespaces: boxes.idMapping(driver).by !== "none",
  };
}

async function networkReady(call: CallContext, deps: Deps): Promise<RuntimeCondition> {
  const type = "NetworkReady";
  const reason = "NetworkPluginNotReady";
  if (deps.config.network === "loopback") {
    return {
      type,
      status: false,
      reason,
      message: 'sandboxes have a loopback only: network = "loopback" in the config',
    };
  }
  const state = await deps.networks.state(call.signal);
  if (state.ready) return { type, status: true, reason: "", message: "" };
  return { type, status: false, reason, message: state.message };
}

/** Who a Box's file server is on the host. */
function fileServers({ boxes: { owners } }: Deps): { user: string; reason: string } {
  if (owners.mapped) return { user: "own", reason: "a user namespace of its own" };
  return { user: "root", reason: owners.why };
}

/** Nothing where no handler has Boxes ready. */
function poolInfo({ classes, failure, oldestNs }: PoolFacts): Record<string, string> {
  if (classes.length === 0) return {};
  const oldestSeconds = oldestNs === undefined ? 0 : Number((nowNs() - oldestNs) / 1_000_000_000n);
  return { pool: JSON.stringify({ boxes: classes, oldestSeconds, failure: failure ?? "" }) };
}

function verboseInfo(deps: Deps): Record<string, string> {
  const { boxes, config, containers, devicePlugin, sandboxes } = deps;
  return {
    driver: JSON.stringify({ name: boxes.driver, reason: boxes.reason, configured: config.driver }),
    fileServers: JSON.stringify(fileServers(deps)),
    apparmor: JSON.stringify(containers.apparmor.state),
    imageLayers: JSON.stringify(containers.layeredRoots.state),
    versions: JSON.stringify({ runtime: packageVersion(), node: process.versions.node, cri: "v1" }),
    config: JSON.stringify(shownConfig(config)),
    ...(devicePlugin === undefined ? {} : { devicePlugin: JSON.stringify(devicePlugin.facts) }),
    ...poolInfo(boxes.pool.facts),
    sandboxes: JSON.stringify({ known: sandboxes.list().length }),
  };
}
