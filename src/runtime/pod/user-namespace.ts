/**
 * The user namespace of a pod (hostUsers: false). Its containers have it in the guest, or on the host where the pod is the
 * host's own, with the ids that kubelet has chosen; the share shows the owners of the host's files as those ids.
 * Source: CRI UserNamespace, IDMapping; pkg/kubelet/userns.
 */
import { RuntimeError } from "../../base/errors.js";
import type { BoxFactory, BoxSpec, DriverName } from "../../vmm/box.js";
import type { UserNamespaceSpec } from "./namespace-spec.js";
import type { PodSpec } from "./pod-spec.js";

/** undefined: none of its own. */
export function userNamespaceOf({ namespaces }: PodSpec): UserNamespaceSpec | undefined {
  return namespaces?.users?.mode === "pod" ? namespaces.users : undefined;
}

/** For the Box; throws `invalidArgument` when its driver can't do that. */
export function idMapOf(
  spec: PodSpec,
  boxes: Pick<BoxFactory, "driver" | "idMapping">,
  driver: DriverName | undefined,
): Pick<BoxSpec, "idMap"> {
  const [uids, gids] = [userNamespaceOf(spec)?.uids[0], userNamespaceOf(spec)?.gids[0]];
  if (uids === undefined || gids === undefined) return {};
  const mapping = boxes.idMapping(driver);
  if (mapping.by === "none") {
    const name = driver ?? boxes.driver;
    const what = `user namespaces are out of the reach of the driver ${name}: ${mapping.why}`;
    throw new RuntimeError("invalidArgument", what, {
      hint: "leave out hostUsers: false, or use a RuntimeClass whose handler has the driver qemu or native",
    });
  }
  return {
    idMap: {
      uids: { first: uids.hostId, count: uids.length },
      gids: { first: gids.hostId, count: gids.length },
    },
  };
}
