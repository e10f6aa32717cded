/** Who a container's processes are. Source: OCI image spec, config "User". */
import { RuntimeError } from "../../base/errors.js";
import type { UserSpec } from "../container/container-spec.js";
import type { OciUser } from "./oci.js";

/** The image's /etc/passwd and /etc/group; "" where the image has none. */
export interface UserDatabase {
  readonly passwd: string;
  readonly group: string;
}

export interface ResolvedUser {
  readonly oci: OciUser;
  /** Home directory of the passwd entry, "/" without one. */
  readonly home: string;
  /** Of the passwd entry; absent without one. */
  readonly name?: string;
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

export function resolveUser(asked: UserSpec, imageUser: string, database: UserDatabase): ResolvedUser {
  const { user, group } = wanted(asked, imageUser);
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
  const ofImage = asked.hasGroupsOfImage && entry !== undefined ? groupsOf(entry.name, groups) : [];
  return {
    oci: { uid, gid, additionalGids: [...new Set([gid, ...asked.supplementalGroups, ...ofImage])] },
    home: entry === undefined || entry.home === "" ? "/" : entry.home,
    ...(entry === undefined ? {} : { name: entry.name }),
  };
}

/** What the image calls a user by its id; absent where it has none such. */
export function nameOfUser(uid: number, { passwd }: UserDatabase): string | undefined {
  return parsePasswd(passwd).find((entry) => entry.uid === uid)?.name;
}

/** The container's wish, else the image's USER; the image's group goes with the image's user only. */
function wanted({ user, group }: UserSpec, imageUser: string): { readonly user: string; readonly group: string } {
  if (user !== "") return { user, group };
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
