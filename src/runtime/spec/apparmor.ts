/** Which AppArmor profile a container's processes have. Source: CRI SecurityProfile; OCI runtime spec, process.apparmorProfile. */
import type { SecuritySpec } from "../container/container-spec.js";

/** Of RuntimeDefault, as scripts/setup/apparmor names it. */
export const defaultApparmorProfile = "a3s-box-default";

/** Undefined: none. A privileged container has no default one, as with containerd. */
export function apparmorProfileOf({ apparmor, privileged }: SecuritySpec): string | undefined {
  switch (apparmor?.kind) {
    case undefined:
    case "none":
      return undefined;
    case "default":
      return privileged ? undefined : defaultApparmorProfile;
    case "localhost":
      return apparmor.name;
  }
}
