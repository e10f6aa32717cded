import type { PullWatch } from "../../image/image-store.js";
import type { EgressFacts } from "../../net/egress/keeper.js";
import type { EgressWanted } from "../../net/egress/policy.js";
import type { SkillFact } from "../../runtime/skills/pod-skills.js";
import type { PortConnection } from "../../vmm/agent/agent-client.js";
import type { Caller } from "./caller.js";
import type { Files } from "./file.js";
import type { SandboxLogLine } from "./logs.js";
import type { Processes } from "./process.js";
import type { Page, PageWanted, SandboxFilter, SandboxUsage, SandboxView, SandboxWanted } from "./sandbox.js";

/**
 * What every protocol of the agents' edge asks. Errors are `RuntimeError`s. A sandbox of another tenant is `notFound`, as
 * one that never was; so is one that has ended.
 */
export interface Sandboxes {
  /**
   * Resolves when its container runs and its template's ready check has passed. Undoes itself. `watch`: of the image's pull. `notFound`: no such
   * template or image; `invalidArgument`: sizes beyond what is allowed; `resourceExhausted`: the tenant's quota.
   */
  create(caller: Caller, wanted: SandboxWanted, signal: AbortSignal, watch?: PullWatch): Promise<SandboxView>;
  get(caller: Caller, id: string): SandboxView;
  /**
   * Of any tenant: for a protocol whose clients show the sandbox's own `accessToken`, which has to know it to compare. What
   * it gives is for nobody who has not shown it. `notFound` as for `get`; no use of the sandbox.
   */
  held(id: string): SandboxView;
  /** Newest first. */
  list(caller: Caller, filter: SandboxFilter, page: PageWanted): Page<SandboxView>;
  /** Its new end, from now. `only: "later"`: never brings the end forward. */
  extend(caller: Caller, id: string, lifeMs: number, only: "later" | "any"): Promise<SandboxView>;
  /** Ends it with all that is in it. */
  end(caller: Caller, id: string, signal: AbortSignal): Promise<void>;
  /** It stands still, and does not end at its time; what is asked of its inside is refused. Success where it is paused. */
  pause(caller: Caller, id: string, signal: AbortSignal): Promise<void>;
  /** Its end is as far away as it was, and where it was due the usual life time away. Success where it runs. */
  resume(caller: Caller, id: string, signal: AbortSignal): Promise<SandboxView>;
  /** Replaces all of its rules while it runs. `failedPrecondition` where it has none. */
  setEgress(caller: Caller, id: string, wanted: EgressWanted, signal: AbortSignal): Promise<SandboxView>;
  /** What was refused, and why. */
  egress(caller: Caller, id: string, signal: AbortSignal): Promise<EgressFacts>;
  /** Those that it has mounted, and what was left out with the reason; no use of the sandbox. */
  skills(caller: Caller, id: string): readonly SkillFact[];
  usage(caller: Caller, id: string, signal: AbortSignal): Promise<SandboxUsage>;
  /** What is kept of its start command's output, and what has happened, in the order of time; no use of the sandbox. */
  logs(caller: Caller, id: string): Promise<readonly SandboxLogLine[]>;
  /** Each counts as a use of the sandbox: its idle time begins anew. */
  processes(caller: Caller, id: string): Processes;
  files(caller: Caller, id: string): Files;
  /** A TCP connection to a port of the sandbox's loopback. `failedPrecondition` where nobody listens. */
  connectPort(caller: Caller, id: string, port: number, signal: AbortSignal): Promise<PortConnection>;
}
