import { statfs } from "node:fs/promises";
import { isWrittenRoot } from "../../vmm/share/layout.js";
import type { Container } from "../container/container.js";
import type { Deps } from "../deps.js";

export interface BoundedDisk {
  readonly usedBytes: bigint;
  readonly totalBytes: bigint;
}

/**
 * What is written of what a container may write, as the file system itself says: one of its own, or one that shows a
 * project's quota as its size. Undefined for a container without a bound, and for one whose Box has gone.
 */
export async function boundedDisk({ spec, record }: Container, deps: Deps): Promise<BoundedDisk | undefined> {
  const box = deps.sandboxes.find(record.sandboxId)?.box;
  const root = record.sharedPaths.find(isWrittenRoot);
  if (spec.disk === undefined || box === undefined || box.exit !== undefined || root === undefined) return undefined;
  const { bsize, blocks, bfree } = await box.lookAtShared(root, (path) => statfs(path, { bigint: true }));
  return { usedBytes: (blocks - bfree) * bsize, totalBytes: blocks * bsize };
}
