import { neededCapabilities } from "../../src/cli/rights-findings.js";
import { defaultSeccompProfile, type SeccompProfile } from "../../src/runtime/spec/seccomp-default.js";

/**
 * `deploy/seccomp.json`, for a container that makes Boxes: what such a container with the capabilities that are needed may call
 * anyway, and `pivot_root`, by which a jail's root becomes another. The kernel asks for CAP_SYS_ADMIN there itself.
 */
export function containerSeccomp(): SeccompProfile {
  const profile = defaultSeccompProfile([...neededCapabilities.values()].map((name) => `CAP_${name}`));
  const pivot = { names: ["pivot_root"], action: "SCMP_ACT_ALLOW" };
  return { ...profile, syscalls: [...profile.syscalls, pivot] };
}
