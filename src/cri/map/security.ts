/** Source: CRI LinuxContainerSecurityContext. */
import { RuntimeError } from "../../base/errors.js";
import { NamespaceOption, type LinuxContainerSecurityContext, type SELinuxOption } from "../../gen/runtime/v1/api.js";
import type { SecuritySpec } from "../../runtime/container/container-spec.js";
import { apparmorSpecOf } from "./apparmor.js";
import { namespaceSpecOf } from "./namespaces.js";
import { seccompSpecOf } from "./seccomp.js";
import { userSpecOf } from "./user.js";

/** Throws `invalidArgument` for what nothing here can give, and for what contradicts itself. */
export function securitySpecOf(security: LinuxContainerSecurityContext): SecuritySpec {
  refuseSelinux(security.selinuxOptions);
  const { capabilities, namespaceOptions } = security;
  const apparmor = apparmorSpecOf(security);
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
    ...(apparmor === undefined ? {} : { apparmor }),
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
