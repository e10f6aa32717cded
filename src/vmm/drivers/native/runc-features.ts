import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as z from "zod";

/** What of `runc features` (since runc 1.1; OCI runtime spec, features.md) is asked for. */
export interface RuncFeatures {
  readonly mountOptions: readonly string[];
  /** "user", "mount", … */
  readonly namespaces: readonly string[];
}

const limitMs = 20_000;
const schema = z
  .object({
    mountOptions: z.array(z.string()).default([]),
    linux: z.object({ namespaces: z.array(z.string()).default([]) }).default({ namespaces: [] }),
  })
  .transform(({ mountOptions, linux }) => ({ mountOptions, namespaces: linux.namespaces }));

/** A runc that has no such command is older than what it would tell of: it has none of it. */
export async function runcFeatures(runc: string): Promise<RuncFeatures> {
  try {
    const { stdout } = await promisify(execFile)(runc, ["features"], { timeout: limitMs, maxBuffer: 4 * 1024 * 1024 });
    return schema.parse(JSON.parse(stdout));
  } catch {
    return { mountOptions: [], namespaces: [] };
  }
}
