/**
 * Who a container's processes are. Source: CRI LinuxContainerSecurityContext (run_as_user, run_as_username,
 * run_as_group, supplemental_groups, supplemental_groups_policy); OCI image spec, config "User".
 */
import { RuntimeError } from "../../base/errors.js";
import { SupplementalGroupsPolicy, type LinuxContainerSecurityContext } from "../../gen/runtime/v1/api.js";
import type { OciUser } from "./oci.js";

/** The image's /etc/passwd and /etc/group; "" where the image has none. */
export interface UserDatabase {
  readonly passwd: string;
  readonly group: string;
}

export interface ResolvedUser {
  readonly oci: OciUser;
  /** Home folder of the passwd entry, "/" without one. */
  readonly home: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** Largest id; 2^32 - 1 means "leave as it is" to the kernel. */
const maxId = 4294967294;

export function resolveUser(
  security: LinuxContainerSecurityContext | undefined,
  imageUser: string,
  database: UserDatabase,
): ResolvedUser {
  const { user, group } = wanted(security, imageUser);
  const passwd = parsePasswd(database.passwd);
  const groups = parseGroup(database.group);
  const entry = findUser(user, passwd);
  const uid = entry?.uid ?? numericId(user);
  if (uid === undefined) {
    throw new RuntimeError("invalidArgument", `user "${user}" is not in the image's /etc/passwd`, {
      hint: "use a numeric uid, or add the user to the image",
    });
  }
  const gid = group === "" ? (entry?.gid ?? 0) : findGroup(group, groups);
  const listed = (security?.supplementalGroups ?? []).map((raw) => checkedId(raw, "supplemental group"));
  const strict = security?.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict;
  const ofImage = strict || entry === undefined ? [] : groupsOf(entry.name, groups);
  return {
    oci: { uid, gid, additionalGids: [...new Set([gid, ...listed, ...ofImage])] },
    home: entry === undefined || entry.home === "" ? "/" : entry.home,
  };
}

/** A name wins over a uid, both win over the image's USER; the image's group goes with the image's user only. */
function wanted(
  security: LinuxContainerSecurityContext | undefined,
  imageUser: string,
): { readonly user: string; readonly group: string } {
  const group =
    security?.runAsGroup === undefined ? "" : checkedId(security.runAsGroup.value, "run_as_group").toString();
  if (security !== undefined && security.runAsUsername !== "") return { user: security.runAsUsername, group };
  if (security?.runAsUser !== undefined) {
    return { user: checkedId(security.runAsUser.value, "run_as_user").toString(), group };
  }
  if (group !== "") {
    throw new RuntimeError("invalidArgument", "run_as_group is set without run_as_user or run_as_username", {
      hint: "set one of the two as well",
    });
  }
  const colon = imageUser.indexOf(":");
  if (colon === -1) return { user: imageUser === "" ? "0" : imageUser, group: "" };
  const name = imageUser.slice(0, colon);
  return { user: name === "" ? "0" : name, group: imageUser.slice(colon + 1) };
}

function findUser(user: string, entries: readonly PasswdEntry[]): PasswdEntry | undefined {
  const uid = numericId(user);
  return (
    entries.find((entry) => entry.name === user) ?? entries.find((entry) => uid !== undefined && entry.uid === uid)
  );
}

function findGroup(group: string, entries: readonly GroupEntry[]): number {
  const gid = entries.find((entry) => entry.name === group)?.gid ?? numericId(group);
  if (gid === undefined) {
    throw new RuntimeError("invalidArgument", `group "${group}" is not in the image's /etc/group`, {
      hint: "use a numeric gid, or add the group to the image",
    });
  }
  return gid;
}

function groupsOf(name: string, groups: readonly GroupEntry[]): number[] {
  return groups.filter((group) => group.members.includes(name)).map((group) => group.gid);
}

function checkedId(raw: bigint, what: string): number {
  if (raw < 0n || raw > BigInt(maxId)) {
    throw new RuntimeError("invalidArgument", `${what} ${raw.toString()} is outside 0 to ${maxId}`);
  }
  return Number(raw);
}

function numericId(text: string): number | undefined {
  if (!/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= maxId ? id : undefined;
}

/** passwd(5): name:password:uid:gid:gecos:home:shell. Lines that are not are skipped, as libc does. */
function parsePasswd(text: string): PasswdEntry[] {
  const entries: PasswdEntry[] = [];
  for (const line of text.split("\n")) {
    const [name = "", , uidText = "", gidText = "", , home = ""] = line.split(":");
    const uid = numericId(uidText);
    const gid = numericId(gidText);
    if (name !== "" && uid !== undefined && gid !== undefined) entries.push({ name, uid, gid, home });
  }
  return entries;
}

/** group(5): name:password:gid:member,member. */
function parseGroup(text: string): GroupEntry[] {
  const entries: GroupEntry[] = [];
  for (const line of text.split("\n")) {
    const [name = "", , gidText = "", members = ""] = line.split(":");
    const gid = numericId(gidText);
    if (name !== "" && gid !== undefined) {
      entries.push({ name, gid, members: members.split(",").map((member) => member.trim()) });
    }
  }
  return entries;
}
