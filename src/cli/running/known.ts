import type { Config } from "../../config/config.js";
import { containerRecords, podRecords } from "../../cri/records/kinds.js";
import type { ContainerRecord } from "../../runtime/container/container-record.js";
import type { PodRecord } from "../../runtime/pod/pod-record.js";
import { agentSandboxRecords } from "../../sandboxes/core/record.js";
import { readRecords } from "../../store/records.js";

/** What the records say. */
export interface Known {
  readonly sandboxes: readonly PodRecord[];
  readonly containers: readonly ContainerRecord[];
  /** Files that can't be read as records: path below the root directory, and why. */
  readonly unreadable: readonly { readonly file: string; readonly reason: string }[];
}

export async function readKnown({ root }: Pick<Config, "root">): Promise<Known> {
  // Containers first: the sandbox of one that is made in between is there already.
  const containers = await readRecords(root, containerRecords);
  const sandboxes = await readRecords(root, podRecords);
  const ofAgents = await readRecords(root, agentSandboxRecords);
  const unreadable = [
    ...sandboxes.unreadable.map(({ file, reason }) => ({ file: `records/sandboxes/${file}`, reason })),
    ...ofAgents.unreadable.map(({ file, reason }) => ({ file: `records/agent-sandboxes/${file}`, reason })),
    ...containers.unreadable.map(({ file, reason }) => ({ file: `records/containers/${file}`, reason })),
  ];
  return { sandboxes: sandboxes.records, containers: containers.records, unreadable };
}
