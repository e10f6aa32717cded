/** Source: CRI LinuxContainerSecurityContext. */
import { RuntimeError } from "../../base/errors.js";
import {
  NamespaceOption,
  SecurityProfile_ProfileType,
  type LinuxContainerSecurityContext,
  type SELinuxOption,
} from "../../gen/runtime/v1/api.js";
import type { SecuritySpec } from "../../runtime/container/container-spec.js";
import { namespaceSpecOf } from "./namespaces.js";
import { seccompSpecOf } from "./seccomp.js";
import { userSpecOf } from "./user.js";

/** Throws `invalidArgument` for what nothing here can give, and for what contradicts itself. */
export function securitySpecOf(security: LinuxContainerSecurityContext): SecuritySpec {
  refuseSelinux(security.selinuxOptions);
  refuseApparmor(security);
  const { capabilities, namespaceOptions } = security;
  return {
    privileged: security.privileged,
    readonlyRootfs: security.readonlyRootfs,
    noNewPrivileges: security.noNewPrivs,
    capabilities: {
      add: capabilities?.addCapabilities ?? [],
      drop: capabilities?.dropCapabilities ?? [],
      ambient: capabilities?.addAmbientCapabilities ?? [],
    },
    namespaces: namespaceSpecOf(namespaceOptions ?? NamespaceOption.fromPartial({}), "namespace_options"),
    user: userSpecOf(security),
    seccomp: seccompSpecOf(security),
    maskedPaths: security.maskedPaths,
    readonlyPaths: security.readonlyPaths,
  };
}

/** The guest has no SELinux: a label would protect nothing. `undefined` or an empty one asks for none. */
export function refuseSelinux(options: SELinuxOption | undefined): void {
  if (options === undefined || Object.values(options).every((part) => part === "")) return;
  throw new RuntimeError("invalidArgument", "SELinux labels are not supported", {
    hint: "leave seLinuxOptions unset: the guest has no SELinux",
  });
}

/** The newer field wins. The guest has no AppArmor, and a profile of the host means nothing in it. */
function refuseApparmor(security: LinuxContainerSecurityContext): void {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- kubelet before 1.30 and the CRI test suite still use it
  const type = security.apparmor?.profileType ?? apparmorTypeOf(security.apparmorProfile);
  if (type === SecurityProfile_ProfileType.Unconfined) return;
  if (type === SecurityProfile_ProfileType.RuntimeDefault && security.privileged) return;
  throw new RuntimeError("invalidArgument", "apparmor is not supported", {
    hint: "leave the AppArmor profile unset or Unconfined",
  });
}

function apparmorTypeOf(deprecated: string): SecurityProfile_ProfileType {
  if (deprecated === "" || deprecated === "unconfined") return SecurityProfile_ProfileType.Unconfined;
  if (deprecated === "runtime/default") return SecurityProfile_ProfileType.RuntimeDefault;
  return SecurityProfile_ProfileType.Localhost;
}
