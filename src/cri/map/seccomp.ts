/** Which seccomp profile a container gets. Source: CRI SecurityProfile; OCI runtime spec config-linux.md, "Seccomp". */
import { RuntimeError, unreachable } from "../../base/errors.js";
import { SecurityProfile_ProfileType, type LinuxContainerSecurityContext } from "../../gen/runtime/v1/api.js";
import type { SeccompSpec } from "../../runtime/container/container-spec.js";

/** The newer field wins; a privileged container has no filter. */
export function seccompSpecOf(security: LinuxContainerSecurityContext): SeccompSpec {
  if (security.privileged) return { kind: "none" };
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- kubelet before 1.29 and the CRI test suite still use it
  if (security.seccomp === undefined) return ofDeprecatedPath(security.seccompProfilePath);
  const { profileType, localhostRef } = security.seccomp;
  if (localhostRef !== "" && profileType !== SecurityProfile_ProfileType.Localhost) {
    throw new RuntimeError("invalidArgument", "seccomp.localhost_ref is set, but the profile's type is not Localhost");
  }
  switch (profileType) {
    case SecurityProfile_ProfileType.RuntimeDefault:
      return { kind: "default" };
    case SecurityProfile_ProfileType.Unconfined:
      return { kind: "none" };
    case SecurityProfile_ProfileType.Localhost:
      return localhost(localhostRef);
    default:
      return unreachable(profileType);
  }
}

function ofDeprecatedPath(path: string): SeccompSpec {
  if (path === "" || path === "unconfined") return { kind: "none" };
  if (path === "runtime/default" || path === "docker/default") return { kind: "default" };
  if (path.startsWith("localhost/")) return localhost(path);
  throw new RuntimeError("invalidArgument", `seccomp_profile_path "${path}" is not a profile`, {
    hint: "use unconfined, runtime/default or localhost/PATH",
  });
}

function localhost(reference: string): SeccompSpec {
  const path = reference.replace(/^localhost\//, "");
  if (path.startsWith("/") && !path.includes("\0")) return { kind: "localhost", path };
  throw new RuntimeError("invalidArgument", `seccomp profile "${path}" is not an absolute path on the host`);
}
