import { InvalidArgumentError } from "../errors.js";
import { AtEnd, CreateSandboxRequest, Network } from "../gen/sandboxes/v1/sandboxes.js";
import type { ConnectionOpts } from "../options.js";
import type { SandboxMount } from "./info.js";

/** What is absent is the template's, and the node's configuration's where that says nothing either. */
export interface SandboxOpts extends ConnectionOpts {
  /** A template of the node's, or the reference of an image where those are allowed. Usually "base". */
  readonly template?: string;
  /** The sandbox ends after that, in milliseconds. */
  readonly timeoutMs?: number;
  /** It ends after that long without a call about it; 0: never for that reason. */
  readonly idleTimeoutMs?: number;
  /** The client's own words, given back as they are; lists are filtered by them. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly envs?: Readonly<Record<string, string>>;
  readonly cpuCount?: number;
  readonly memoryMB?: number;
  /** All that it writes outside its mounts. */
  readonly diskMB?: number;
  /** Name, id or "user:group"; of commands and files that say nothing else. */
  readonly user?: string;
  /** Absolute; of commands and files that say nothing else. */
  readonly cwd?: string;
  readonly mounts?: readonly SandboxMount[];
  /** A coding agent of the node's configuration; "": none. */
  readonly agent?: string;
  /** Directories of the node with skills in them, in place of the template's. */
  readonly skills?: readonly string[];
  /** none: a loopback alone; pod: what the node gives a pod. */
  readonly network?: "none" | "pod";
  /** `false`: `network: "none"`. */
  readonly allowInternetAccess?: boolean;
  /** What becomes of it at the end of its time. */
  readonly onTimeout?: "kill" | "pause";
  /** It ends with the pod that has made it. */
  readonly endsWithOwner?: boolean;
}

const usualTemplate = "base";

export function createRequest(opts: SandboxOpts): CreateSandboxRequest {
  const network = opts.network ?? (opts.allowInternetAccess === false ? "none" : undefined);
  return CreateSandboxRequest.fromPartial({
    template: opts.template ?? usualTemplate,
    ...{ env: opts.envs ?? {}, metadata: opts.metadata ?? {}, mounts: (opts.mounts ?? []).map(mountOf) },
    ...given("vcpus", opts.cpuCount),
    ...given("memoryMib", opts.memoryMB),
    ...given("diskMib", opts.diskMB),
    ...given("user", opts.user),
    ...given("workingDir", opts.cwd),
    ...given("lifeMs", milliseconds("timeoutMs", opts.timeoutMs)),
    ...given("idleMs", milliseconds("idleTimeoutMs", opts.idleTimeoutMs)),
    ...given("endsWithOwner", opts.endsWithOwner),
    ...given("agent", opts.agent),
    ...given("skills", opts.skills === undefined ? undefined : { hostPaths: [...opts.skills] }),
    network: networkOf(network),
    atEnd: atEndOf(opts.onTimeout),
  });
}

function mountOf({ hostPath, path, readonly = false }: SandboxMount) {
  return { hostPath, path, readonly };
}

/** Whole ones, as the runtime counts them. */
export function milliseconds(name: string, ms: number | undefined): bigint | undefined {
  if (ms === undefined) return undefined;
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) {
    throw new InvalidArgumentError(`${name} is a number of milliseconds, and not ${String(ms)}`, { stage: "Sandbox" });
  }
  return BigInt(Math.ceil(ms));
}

function networkOf(network: "none" | "pod" | undefined): Network {
  if (network === undefined) return Network.UNSPECIFIED;
  return network === "none" ? Network.NONE : Network.POD;
}

function atEndOf(onTimeout: "kill" | "pause" | undefined): AtEnd {
  if (onTimeout === undefined) return AtEnd.UNSPECIFIED;
  return onTimeout === "pause" ? AtEnd.PAUSE : AtEnd.END;
}

function given<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  const record: Partial<Record<K, V>> = {};
  if (value !== undefined) record[key] = value;
  return record;
}
