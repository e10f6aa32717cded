/**
 * Volumes whose source is on a hugetlbfs of the host (kubelet's emptyDir with medium HugePages). Files have no huge pages
 * over virtio-fs: the guest has a hugetlbfs of its own in its place, as the host's is, and empty (docs/adr/0044).
 */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import { mountOf, type MountLine } from "../../base/mountinfo.js";
import type { HugeVolume } from "../../gen/agent/v1/agent.js";
import type { IdMapping, UserNamespaceSpec } from "../pod/namespace-spec.js";
import { hugePageName, refusePages } from "../spec/resources.js";

/** guest/agent/src/session/huge_volumes.rs */
const guestDirectory = "/run/hugepages";
/** Of whom has no id in a user namespace (user_namespaces(7)). */
const nobody = 65_534;

/** The mount of the host that a source is on, when that is a hugetlbfs. */
export function mountOfPages(source: string, mounts: readonly MountLine[]): MountLine | undefined {
  const line = mountOf(source, mounts);
  return line?.type === "hugetlbfs" ? line : undefined;
}

/** `has`: the sizes of the guest's pages, in KiB; `users`: the pod's user namespace. Throws `invalidArgument`. */
export async function hugeVolume(
  source: string,
  { device, root, target, superOptions }: MountLine,
  has: readonly bigint[],
  users: Pick<UserNamespaceSpec, "uids" | "gids"> | undefined,
): Promise<HugeVolume> {
  const options = new Map(superOptions.map((option) => splitOption(option)));
  const pageKib = kibOf(options.get("pagesize") ?? "");
  if (!has.includes(pageKib)) refusePages(hugePageName(pageKib), has.map(hugePageName));
  const facts = await stat(source);
  if (!facts.isDirectory()) {
    throw new RuntimeError("invalidArgument", `${source} is a file with huge pages: a Box can't have the host's`, {
      hint: "mount its directory: the Box gets an empty one of its own",
    });
  }
  const fileSystem = device.replace(":", "-");
  const path = relative("/", join(root, relative(target, source)));
  const digest = createHash("sha256").update(path).digest("hex").slice(0, 16);
  return {
    name: path === "" ? fileSystem : `${fileSystem}-${digest}`,
    ...{ fileSystem, path, pageKib },
    sizeBytes: bytesOf(options.get("size")),
    minSizeBytes: bytesOf(options.get("min_size")),
    inodes: bytesOf(options.get("nr_inodes")),
    uid: idInGuest(facts.uid, users?.uids[0]),
    gid: idInGuest(facts.gid, users?.gids[0]),
    mode: facts.mode & 0o7777,
  };
}

export function guestPathOf({ name }: HugeVolume): string {
  return `${guestDirectory}/${name}`;
}

function splitOption(option: string): [string, string] {
  const [name = "", value = ""] = option.split("=");
  return [name, value];
}

/** "2M", "64K": hugetlbfs_show_options of linux/fs/hugetlbfs/inode.c, which has no other units. */
function kibOf(text: string): bigint {
  const [, number = "0", unit] = /^(\d+)([KM])$/.exec(text) ?? [];
  return BigInt(number) * (unit === "M" ? 1024n : 1n);
}

function bytesOf(text: string | undefined): bigint {
  return text !== undefined && /^\d{1,19}$/.test(text) ? BigInt(text) : 0n;
}

/** As the share shows owners: docs/adr/0041. */
function idInGuest(id: number, mapping: IdMapping | undefined): number {
  if (mapping === undefined) return id;
  return id < mapping.length ? mapping.hostId + id : nobody;
}
