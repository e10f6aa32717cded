/**
 * What of a security context is not a capability, a user or a seccomp profile.
 * Source: CRI LinuxContainerSecurityContext; OCI runtime spec config-linux.md, "Namespaces".
 */
import { RuntimeError } from "../../base/errors.js";
import {
  SecurityProfile_ProfileType,
  type LinuxContainerSecurityContext,
  type SELinuxOption,
} from "../../gen/runtime/v1/api.js";
import type { SpecRules } from "./rules.js";

/** Refuses what nothing here can give, what this pod can't, and what contradicts the sandbox. */
export function checkSecurity(
  security: LinuxContainerSecurityContext | undefined,
  sandboxPrivileged: boolean,
  rules: Pick<SpecRules, "checkNamespaces">,
): void {
  if (security === undefined) return;
  if (security.privileged && !sandboxPrivileged) {
    throw new RuntimeError("invalidArgument", "a privileged container needs a privileged sandbox", {
      hint: "set privileged in the sandbox's security context too",
    });
  }
  rules.checkNamespaces(security);
  checkSelinux(security.selinuxOptions);
  checkApparmor(security);
}

/** The guest has no SELinux: a label would protect nothing. `undefined` or an empty one asks for none. */
export function checkSelinux(options: SELinuxOption | undefined): void {
  if (options === undefined || Object.values(options).every((part) => part === "")) return;
  throw new RuntimeError("invalidArgument", "SELinux labels are not supported", {
    hint: "leave seLinuxOptions unset: the guest has no SELinux",
  });
}

/** The newer field wins. The guest has no AppArmor, and a profile of the host means nothing in it. */
function checkApparmor(security: LinuxContainerSecurityContext): void {
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
