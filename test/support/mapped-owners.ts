import type { Context } from "mocha";
import type { Native } from "../../src/native/addon.js";
import { probeOwners } from "../../src/vmm/share/probe-owners.js";
import { skipBecause } from "./skip.js";

/** Skips where the kernel can't map the owners of what lies in this directory. */
export async function needsMappedOwners(context: Context, native: Native, directory: string): Promise<void> {
  const owners = await probeOwners({ native, state: directory, layers: directory, name: "probe" });
  if (!owners.mapped) skipBecause(context, owners.why);
}
