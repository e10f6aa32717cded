/** An image with coding agents as npm has them, as their users make one. */
import { dirname, join } from "node:path";
import { busyboxSource, type NamedImage } from "../images.js";
import { agentPackages, agentPrograms, written } from "../models/coding-agents.js";
import { programEntries } from "../program-entries.js";
import { buildLayer } from "../tar-builder.js";

export async function codingAgentsImage(tag: string): Promise<NamedImage> {
  const files = Object.entries(agentPrograms).map(
    ([name, path]) => [`/usr/local/bin/${name}`, join(agentPackages, path)] as const,
  );
  // codex is linked with all that it needs.
  const entries = await programEntries(files, join(agentPackages, agentPrograms.opencode));
  const work = { name: `${dirname(written.path).slice(1)}/`, type: "directory" } as const;
  return { tag, ...(await busyboxSource({}, [buildLayer([work, ...entries], "none")])) };
}
