/** What a sandbox of the agents' edge is to be, and what is told of one. Plain frozen values; no protocol in them. */

import type { EgressWanted } from "../../net/egress/policy.js";

declare const brand: unique symbol;
/** 20 characters of [a-z0-9]: clients put it in front of host names, where "-" and "." part words. */
export type SandboxName = string & { readonly [brand]: "SandboxName" };

/** What a caller asks for. What is absent is the template's, and the configuration's where that says nothing either. */
export interface SandboxWanted {
  /** A name of the configuration's templates, or the reference of an image where those are allowed. */
  readonly template: string;
  readonly vcpus?: number;
  readonly memoryMib?: number;
  /** All that the sandbox writes outside its mounts; a write past it gets ENOSPC. */
  readonly diskMib?: number;
  readonly env: Readonly<Record<string, string>>;
  /** Name, id or "user:group"; of processes and files that say nothing else. */
  readonly user?: string;
  readonly workingDir?: string;
  readonly mounts: readonly SandboxMount[];
  /** The client's own words, given back as they are; lists are filtered by them. */
  readonly metadata: Readonly<Record<string, string>>;
  /** none: a loopback alone. pod: what the node's CNI gives a pod. */
  readonly network?: "none" | "pod";
  /** Names of models' providers that it has on its loopback, without their keys. */
  readonly llm?: readonly string[];
  /** A name of the configuration's coding agents; "": none. */
  readonly agent?: string;
  /** Directories of the host with skills in them, within what the configuration allows to the tenant. */
  readonly skills?: readonly string[];
  /** What it may reach in the pod's network. */
  readonly egress?: EgressWanted;
  /** From now; the sandbox ends then. Absent: the configuration's. */
  readonly lifeMs?: number;
  /** Without a call about it for that long it ends. 0: never for that reason. */
  readonly idleMs?: number;
  /** What becomes of it at the end of its time, or when nobody has used it for its idle time. */
  readonly atEnd?: "end" | "pause";
  /** It ends with the pod that made it. */
  readonly endsWithOwner?: boolean;
}

export interface SandboxMount {
  /** Absolute path on the host, within what the configuration allows to the tenant. */
  readonly hostPath: string;
  readonly path: string;
  readonly readonly: boolean;
}

export type SandboxState = "starting" | "running" | "paused" | "ended";

export interface SandboxView {
  readonly id: SandboxName;
  readonly tenant: string;
  readonly template: string;
  readonly image: string;
  /** The image's own program with its arguments: Entrypoint and Cmd. */
  readonly command: readonly string[];
  readonly state: SandboxState;
  readonly startedAtMs: number;
  /** Unix ms at which it ends unless it is extended. */
  readonly endsAtMs: number;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskMib: number;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workingDir: string;
  readonly mounts: readonly SandboxMount[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly network: "none" | "pod";
  /** Absent: it is in no network, or the network decides. */
  readonly egress?: SandboxEgress;
  /** Absent: it has none of its own. */
  readonly agent?: SandboxAgent;
  readonly atEnd: "end" | "pause";
  readonly endsWithOwner: boolean;
  /** A secret of this sandbox alone, made with it: what a client of E2B has as its access token. */
  readonly accessToken: string;
  /** For whoever looks at it with crictl: the ids of pod and container. */
  readonly podId: string;
  readonly containerId: string;
}

/** The coding agent that a sandbox was made with. */
export interface SandboxAgent {
  readonly name: string;
  readonly kind: string;
  /** Program and arguments that speak ACP by standard input and output; empty: it can't. */
  readonly command: readonly string[];
}

/** The rules of a sandbox as they stand. */
export interface SandboxEgress {
  /** Addresses, ranges and names. What is allowed is not denied. */
  readonly allowOut: readonly string[];
  readonly denyOut: readonly string[];
  /** What becomes of what neither names. */
  readonly rest: "allow" | "deny";
}

/** All that is given must be so. */
export interface SandboxFilter {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly states?: readonly SandboxState[];
  readonly template?: string;
  readonly startedAfterMs?: number;
}

export interface PageWanted {
  /** At least 1; what is beyond the most of a page comes with the next. */
  readonly limit: number;
  /** What the page before said. */
  readonly after?: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Absent on the last page. */
  readonly next?: string;
}

/** Of a running sandbox, all of its processes. */
export interface SandboxUsage {
  readonly atMs: number;
  readonly vcpus: number;
  /** Of one vCPU: 100 is one that is busy all the time. */
  readonly cpuPercent: number;
  readonly memoryUsedBytes: number;
  readonly memoryTotalBytes: number;
  readonly memoryCacheBytes: number;
  readonly diskUsedBytes: number;
  readonly diskTotalBytes: number;
}
