import { RuntimeError } from "../../base/errors.js";
import { SupplementalGroupsPolicy, type LinuxContainerSecurityContext } from "../../gen/runtime/v1/api.js";
import type { UserSpec } from "../../runtime/container/container-spec.js";

/** Largest id; 2^32 - 1 means "leave as it is" to the kernel. */
const maxId = 4294967294;

/** A name wins over a uid. Throws `invalidArgument` for ids that there are not, and for a group without a user. */
export function userSpecOf(security: LinuxContainerSecurityContext): UserSpec {
  const group = security.runAsGroup === undefined ? "" : String(checkedId(security.runAsGroup.value, "run_as_group"));
  const user = userOf(security);
  if (group !== "" && user === "") {
    throw new RuntimeError("invalidArgument", "run_as_group is set without run_as_user or run_as_username", {
      hint: "set one of the two as well",
    });
  }
  return {
    ...{ user, group },
    supplementalGroups: security.supplementalGroups.map((raw) => checkedId(raw, "supplemental group")),
    hasGroupsOfImage: security.supplementalGroupsPolicy !== SupplementalGroupsPolicy.Strict,
  };
}

function userOf({ runAsUsername, runAsUser }: LinuxContainerSecurityContext): string {
  if (runAsUsername !== "") return runAsUsername;
  return runAsUser === undefined ? "" : String(checkedId(runAsUser.value, "run_as_user"));
}

function checkedId(raw: bigint, what: string): number {
  if (raw < 0n || raw > BigInt(maxId)) {
    throw new RuntimeError("invalidArgument", `${what} ${raw.toString()} is outside 0 to ${maxId}`);
  }
  return Number(raw);
}
