/** Which namespaces a pod and its containers have. Plain values; source of each: CRI NamespaceOption, UserNamespace. */
import * as z from "zod";

/**
 * CRI NamespaceMode. "pod": one for all containers of the pod (POD); "container": one for each (CONTAINER); "host": the
 * node's (NODE); "target": that of another container (TARGET).
 */
export const namespaceMode = z.enum(["pod", "container", "host", "target"]);
export type NamespaceMode = z.infer<typeof namespaceMode>;

/** The mode as users of Kubernetes and CRI know it, for messages. */
export const namespaceModeNames = {
  pod: "POD",
  container: "CONTAINER",
  host: "NODE",
  target: "TARGET",
} as const satisfies Record<NamespaceMode, string>;

/** CRI IDMapping: `length` ids from `containerId` on are those from `hostId` on. */
export const idMapping = z.object({ containerId: z.int(), hostId: z.int(), length: z.int() }).readonly();
export type IdMapping = z.infer<typeof idMapping>;

const idMappings = z.array(idMapping).readonly();

/** CRI UserNamespace. */
export const userNamespaceSpec = z.object({ mode: namespaceMode, uids: idMappings, gids: idMappings }).readonly();
export type UserNamespaceSpec = z.infer<typeof userNamespaceSpec>;

/** CRI NamespaceOption. */
export const namespaceSpec = z
  .object({
    network: namespaceMode,
    pid: namespaceMode,
    ipc: namespaceMode,
    /** Id of the container whose PID namespace is joined, where `pid` is "target"; else "". */
    targetId: z.string(),
    /** Absent: the request says nothing, which is none of its own. */
    users: userNamespaceSpec.exactOptional(),
  })
  .readonly();
export type NamespaceSpec = z.infer<typeof namespaceSpec>;
