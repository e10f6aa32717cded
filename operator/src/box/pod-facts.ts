/** What a pod says of itself, in a few words. */
import { isObject, listAt, objectAt, textAt, numberAt, type JsonObject } from "../kube/json.js";

export interface Told {
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
}

/** One of its conditions, as another's. */
export function conditionOf(object: JsonObject | undefined, type: string): Told | undefined {
  const found = listAt(object, "status", "conditions")
    .filter(isObject)
    .find((one) => textAt(one, "type") === type);
  if (found === undefined) return undefined;
  const status = textAt(found, "status");
  return {
    status: status === "True" || status === "False" ? status : "Unknown",
    reason: textAt(found, "reason") ?? "",
    message: textAt(found, "message") ?? "",
  };
}

export function phaseOf(pod: JsonObject | undefined): string {
  return textAt(pod, "status", "phase") ?? "";
}

export function isDeleting(object: JsonObject): boolean {
  return textAt(object, "metadata", "deletionTimestamp") !== undefined;
}

export function nodeOf(pod: JsonObject | undefined): string | undefined {
  return textAt(pod, "spec", "nodeName");
}

function containersOf(pod: JsonObject): readonly JsonObject[] {
  return ["initContainerStatuses", "containerStatuses"].flatMap((list) => listAt(pod, "status", list).filter(isObject));
}

/** Why a container does not run. */
export function waitingOf(pod: JsonObject): { readonly reason: string; readonly message: string } | undefined {
  for (const container of containersOf(pod)) {
    const waiting = objectAt(container, "state", "waiting");
    const reason = textAt(waiting, "reason") ?? "";
    if (reason === "" || reason === "PodInitializing" || reason === "ContainerCreating") continue;
    const name = textAt(container, "name") ?? "";
    return { reason, message: `container ${name}: ${textAt(waiting, "message") ?? reason}` };
  }
  return undefined;
}

/** How its containers ended. */
export function endOf(pod: JsonObject): string {
  const ends = containersOf(pod).flatMap((container) => {
    const ended = objectAt(container, "state", "terminated");
    if (ended === undefined) return [];
    const code = numberAt(ended, "exitCode") ?? 0;
    const why = textAt(ended, "reason") ?? "";
    return [
      `container ${textAt(container, "name") ?? ""} has ended with ${String(code)}${why === "" ? "" : ` (${why})`}`,
    ];
  });
  const said = textAt(pod, "status", "message");
  return [...(said === undefined ? [] : [said]), ...ends].join("; ");
}
