/** Which AppArmor profile a container gets. Source: CRI LinuxContainerSecurityContext.apparmor, and apparmor_profile. */
import { RuntimeError } from "../../base/errors.js";
import { type LinuxContainerSecurityContext, SecurityProfile_ProfileType } from "../../gen/runtime/v1/api.js";
import type { ApparmorSpec } from "../../runtime/container/container-spec.js";

const ofNode = "localhost/";
/** The kernel takes one page of name and verb. */
const maxNameBytes = 512;

/** The newer field wins; kubelet sends both. Undefined: none is asked for, which is another thing than none. */
export function apparmorSpecOf(security: LinuxContainerSecurityContext): ApparmorSpec | undefined {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- kubelet before 1.30 and the CRI test suite still use it
  const { apparmor, apparmorProfile } = security;
  if (apparmor === undefined) return ofDeprecatedName(apparmorProfile);
  switch (apparmor.profileType) {
    case SecurityProfile_ProfileType.RuntimeDefault:
      return { kind: "default" };
    case SecurityProfile_ProfileType.Localhost:
      return localhost(apparmor.localhostRef, "apparmor.localhost_ref");
    case SecurityProfile_ProfileType.Unconfined:
      return { kind: "none" };
    default:
      throw new RuntimeError("invalidArgument", `apparmor.profile_type ${String(apparmor.profileType)} is none`);
  }
}

function ofDeprecatedName(text: string): ApparmorSpec | undefined {
  if (text === "") return undefined;
  if (text === "unconfined") return { kind: "none" };
  if (text === "runtime/default") return { kind: "default" };
  if (text.startsWith(ofNode)) return localhost(text, "apparmor_profile");
  throw new RuntimeError("invalidArgument", `apparmor_profile "${text}" is no profile`, {
    hint: "runtime/default, unconfined, or localhost/ with the name of a profile of the node",
  });
}

/** Some clients put the old field's words into the new one, as containerd takes them. */
function localhost(reference: string, field: string): ApparmorSpec {
  const name = reference.startsWith(ofNode) ? reference.slice(ofNode.length) : reference;
  if (isName(name)) return { kind: "localhost", name };
  throw new RuntimeError("invalidArgument", `${field} ${JSON.stringify(reference)} names no AppArmor profile`, {
    hint: "the name of one profile, without a namespace",
  });
}

/** Of the rest the kernel makes words of its own: ":namespace:", "a//&b" for two at once, a space after the verb. */
function isName(name: string): boolean {
  const isPlain = name !== "" && !/^[:& ]| $|\/\/&|\p{Cc}/u.test(name);
  return isPlain && Buffer.byteLength(name) <= maxNameBytes;
}
