/** The conditions of an A3sBox, from facts alone. */
import { listAt, numberAt, textAt, type JsonObject } from "../kube/json.js";
import type { News } from "../runtime/events.js";
import { withAdvice } from "./advice.js";
import { conditionOf, endOf, isDeleting, nodeOf, phaseOf, waitingOf, type Told } from "./pod-facts.js";
import { timeOf } from "./render-objects.js";
import type { BoxSpec, Engine } from "./spec.js";

export interface Problem {
  readonly reason: string;
  readonly message: string;
}

export interface Facts {
  readonly box: JsonObject;
  readonly spec: BoxSpec;
  readonly nowMs: number;
  /** Undefined where the one that is asked for can't be had. */
  readonly engine: Engine | undefined;
  /** What it refers to and is not there. */
  readonly problems: readonly Problem[];
  /** Skills that agents will leave out, and why. */
  readonly broken: readonly string[];
  /** What the API server has not let us do. */
  readonly refusal: Problem | undefined;
  readonly pod: JsonObject | undefined;
  /** The Sandbox or claim of agent-sandbox. */
  readonly runner: JsonObject | undefined;
  /** The pod is not what it should be, and another follows it. */
  readonly replacing: boolean;
}

export const conditionTypes = ["Ready", "Resolved", "Progressing", "Suspended", "PodScheduled", "Finished"] as const;
export type ConditionType = (typeof conditionTypes)[number];
export type Conditions = Readonly<Record<ConditionType, Told>>;

const yes = (reason: string, message = ""): Told => ({ status: "True", reason, message });
const no = (reason: string, message = ""): Told => ({ status: "False", reason, message });

export function conditionsOf(facts: Facts): Conditions {
  const finished = finishedOf(facts);
  const suspended = suspendedOf(facts);
  const resolved = resolvedOf(facts);
  const ready = readyOf(facts, finished, suspended, resolved);
  return {
    Ready: ready,
    Resolved: resolved,
    Progressing: progressingOf(facts, { ready, finished, suspended, resolved }),
    Suspended: suspended,
    PodScheduled: scheduledOf(facts),
    Finished: finished,
  };
}

/** It was at its end before, and nothing was asked for since. */
export function wasFinished(box: JsonObject): boolean {
  const before = conditionOf(box, "Finished");
  return before?.status === "True" && before.reason !== "ShutdownTimePassed" && isObserved(box);
}

function isObserved(box: JsonObject): boolean {
  return numberAt(box, "status", "observedGeneration") === generationOf(box);
}

function generationOf(box: JsonObject): number {
  return numberAt(box, "metadata", "generation") ?? 0;
}

export function isOver({ shutdownMs }: BoxSpec, nowMs: number): boolean {
  return shutdownMs !== undefined && shutdownMs <= nowMs;
}

/** It is there, and not all of it is of use. */
const skillBroken = "SkillBroken";

function resolvedOf({ problems, broken }: Facts): Told {
  const [first] = problems;
  if (first === undefined && broken.length > 0)
    return yes(skillBroken, `all that it refers to is there, and agents leave out ${broken.join("; ")}`);
  if (first === undefined) return yes("Resolved", "all that it refers to is there");
  return no(first.reason, problems.map(({ message }) => message).join("; "));
}

function finishedOf({ box, spec, nowMs, pod, runner, replacing }: Facts): Told {
  if (isOver(spec, nowMs)) return yes("ShutdownTimePassed", "spec.shutdownTime has passed");
  if (spec.suspended || replacing) return no("NotFinished");
  const told = conditionOf(runner, "Finished");
  if (told?.status === "True") return told;
  if (pod === undefined)
    return wasFinished(box) ? (conditionOf(box, "Finished") ?? no("NotFinished")) : no("NotFinished");
  if (spec.codingAgent?.prompt === undefined) return no("NotFinished");
  if (phaseOf(pod) === "Succeeded") return yes("PodSucceeded", endOf(pod));
  return phaseOf(pod) === "Failed" ? yes("PodFailed", endOf(pod)) : no("NotFinished");
}

function suspendedOf({ spec, pod, runner }: Facts): Told {
  const told = conditionOf(runner, "Suspended");
  if (!spec.suspended) return no("Running");
  if (pod !== undefined) return no("Suspending", "its pod ends");
  if (told !== undefined && told.status !== "True") return told;
  return yes("Suspended", "its pod is gone, its workspace stays");
}

function scheduledOf({ pod, runner }: Facts): Told {
  const told = conditionOf(pod, "PodScheduled") ?? conditionOf(runner, "PodScheduled");
  if (told === undefined) return no("NoPod");
  const reason = told.reason === "" ? "Scheduled" : told.reason;
  return { ...told, reason, message: withAdvice(told.reason, told.message) };
}

function readyOf(facts: Facts, finished: Told, suspended: Told, resolved: Told): Told {
  const { box, spec, pod, refusal, replacing } = facts;
  if (isDeleting(box)) return no("Terminating", "it is being deleted");
  if (finished.status === "True") return no("Finished", finished.message);
  if (spec.suspended) return no(suspended.status === "True" ? "Suspended" : "Suspending", suspended.message);
  if (refusal !== undefined) return no(refusal.reason, withAdvice(refusal.reason, refusal.message));
  if (replacing) return no("Replacing", "its pod ends, another follows");
  if (pod === undefined && resolved.status === "False") return no("NotResolved", resolved.message);
  if (pod === undefined) return runnerReady(facts) ?? no("Starting", "its pod is being made");
  return runnerReady(facts) ?? podReady(pod);
}

/** agent-sandbox's word counts where it has one; of a pod that hangs the pod says more. */
function runnerReady({ runner, pod }: Facts): Told | undefined {
  const told = conditionOf(runner, "Ready");
  if (told === undefined) return undefined;
  if (told.status === "True" || pod === undefined)
    return { ...told, reason: told.reason === "" ? "Ready" : told.reason };
  const own = podReady(pod);
  return own.status === "True" ? told : own;
}

function podReady(pod: JsonObject): Told {
  const told = conditionOf(pod, "Ready");
  if (told?.status === "True") return yes("Ready", "the agent's pod runs");
  const scheduled = conditionOf(pod, "PodScheduled");
  if (scheduled?.status === "False") {
    const reason = scheduled.reason === "" ? "NotScheduled" : scheduled.reason;
    return no(reason, withAdvice(reason, scheduled.message));
  }
  const waiting = waitingOf(pod);
  if (waiting !== undefined) return no(waiting.reason, withAdvice(waiting.reason, waiting.message));
  return no("Starting", told?.message ?? "its pod starts");
}

interface Others {
  readonly ready: Told;
  readonly finished: Told;
  readonly suspended: Told;
  readonly resolved: Told;
}

function progressingOf(facts: Facts, { ready, finished, suspended, resolved }: Others): Told {
  const { box, spec, pod, refusal, replacing } = facts;
  if (isDeleting(box)) return yes("Terminating");
  if (finished.status === "True") {
    const ending = pod !== undefined && isOver(spec, facts.nowMs);
    return ending ? yes("Ending", "its pod ends") : no("Settled");
  }
  if (spec.suspended) return suspended.status === "True" ? no("Settled") : yes("Suspending");
  if (refusal !== undefined || (resolved.status === "False" && pod === undefined)) return no("Blocked", ready.message);
  if (replacing) return yes("Replacing");
  return ready.status === "True" ? no("Settled") : yes("Starting", ready.message);
}

/** The status to write. Times stay where nothing has changed. */
export function statusOf(facts: Facts, conditions: Conditions): JsonObject {
  const { box, pod, nowMs } = facts;
  const node = nodeOf(pod);
  // What has run it is known for as long as that can't be had.
  const engine = facts.engine ?? textAt(box, "status", "engine");
  return {
    observedGeneration: generationOf(box),
    ...(engine === undefined ? {} : { engine }),
    ...(pod === undefined ? {} : { podName: textAt(pod, "metadata", "name") ?? "" }),
    ...(node === undefined ? {} : { nodeName: node }),
    conditions: conditionTypes.map((type) => stamped(type, conditions[type], box, nowMs)),
  };
}

const longestMessage = 1000;

function stamped(type: ConditionType, told: Told, box: JsonObject, nowMs: number): JsonObject {
  const { status, reason, message } = told;
  const before = listAt(box, "status", "conditions").find((one) => textAt(one, "type") === type);
  const since = textAt(before, "status") === status ? textAt(before, "lastTransitionTime") : undefined;
  return {
    ...{ type, status, reason: reason === "" ? "Unknown" : reason, message: message.slice(0, longestMessage) },
    lastTransitionTime: since ?? timeOf(nowMs),
    observedGeneration: generationOf(box),
  };
}

/** What has changed, for those who read events: never the mere way to a state. */
export function newsOf(box: JsonObject, conditions: Conditions): readonly News[] {
  const told: readonly ConditionType[] = ["Ready", "Resolved", "Suspended", "Finished"];
  return told.flatMap((type) => {
    const before = conditionOf(box, type);
    const { status, reason, message } = conditions[type];
    const isNew = before?.status !== status || before.reason !== reason;
    const isOfNote =
      type === "Ready" || (type === "Resolved" ? reason !== "Resolved" || before !== undefined : status === "True");
    if (!isNew || !isOfNote) return [];
    return [{ type: isTrouble(type, status, reason) ? "Warning" : "Normal", reason, message: message || type }];
  });
}

const harmless = new Set(["Starting", "Replacing", "Suspending", "Suspended", "Terminating", "Finished"]);

function isTrouble(type: ConditionType, status: Told["status"], reason: string): boolean {
  if (reason === skillBroken) return true;
  if (type === "Ready" || type === "Resolved") return status !== "True" && !harmless.has(reason);
  return reason === "PodFailed";
}
