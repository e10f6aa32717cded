import { mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../base/errors.js";
import type { Config } from "../config/config.js";
import { boundFor, makePlace, removePlace } from "../image/snapshot/disk/place.js";
import { loadNative } from "../native/addon.js";
import type { Finding } from "./finding.js";
import { nearest } from "./image-findings.js";

const probeBytes = 16n * 1024n * 1024n;
const probeLimitMs = 10_000;

/** What holds sandboxes for agents to their disks: tried on the image store's file system. */
export async function diskFinding({ root, assets, sandboxes: { diskBound } }: Config): Promise<Finding> {
  const subject = "disks of sandboxes";
  if (diskBound === "none") {
    const remedy = 'sandboxes.disk_bound = "auto"';
    return { subject, verdict: "optional", detail: "not bounded: sandboxes.disk_bound is none", remedy };
  }
  try {
    const { native } = loadNative(assets.dir);
    const parent = await nearest(join(root, "images"));
    const directory = await mkdtemp(join(parent, "a3s-check-"));
    try {
      const by = await boundFor(native, directory, diskBound);
      const place = join(directory, "disk-of-check");
      await mkdir(place);
      try {
        await makePlace(native, place, { bytes: probeBytes, by }, AbortSignal.timeout(probeLimitMs));
      } finally {
        await removePlace(native, place, directory);
      }
      const detail = by === "quota" ? `project quotas of the file system of ${parent}` : "a file with an ext4 for each";
      return { subject, verdict: "OK", detail };
    } finally {
      await native.removeTree(directory);
    }
  } catch (thrown) {
    const remedy = 'without a bound: sandboxes.disk_bound = "none"';
    return { subject, verdict: "optional", detail: messageOf(thrown), remedy };
  }
}
