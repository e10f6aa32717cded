/**
 * The user namespace of a pod (hostUsers: false). Its containers have it in the guest, with the ids that kubelet has
 * chosen; the share shows the owners of the host's files as those ids, so that no mount has to map any.
 * Source: CRI UserNamespace, IDMapping; kubelet.md, "userns_options".
 */
import { RuntimeError } from "../../base/errors.js";
import { NamespaceMode, type PodSandboxConfig, type UserNamespace } from "../../gen/runtime/v1/api.js";
import type { BoxFactory, BoxSpec, DriverName } from "../../vmm/box.js";

/** undefined: none of its own. */
export function userNamespaceOf(config: PodSandboxConfig): UserNamespace | undefined {
  const options = config.linux?.securityContext?.namespaceOptions?.usernsOptions;
  return options?.mode === NamespaceMode.POD ? options : undefined;
}

/** For the Box; throws `invalidArgument` when its driver can't do that. */
export function idMapOf(
  config: PodSandboxConfig,
  boxes: Pick<BoxFactory, "driver" | "mapsIds">,
  driver: DriverName | undefined,
): Pick<BoxSpec, "idMap"> {
  const [uids, gids] = [userNamespaceOf(config)?.uids[0], userNamespaceOf(config)?.gids[0]];
  if (uids === undefined || gids === undefined) return {};
  if (!boxes.mapsIds(driver)) {
    const name = driver ?? boxes.driver;
    throw new RuntimeError("invalidArgument", `user namespaces are out of the reach of the driver ${name}`, {
      hint: "leave out hostUsers: false, or use a RuntimeClass whose handler has the driver qemu",
    });
  }
  return {
    idMap: {
      uids: { guestBase: uids.hostId, count: uids.length },
      gids: { guestBase: gids.hostId, count: gids.length },
    },
  };
}
