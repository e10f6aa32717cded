/**
 * What CRI's lists have in them. Pods that were made for agents are named in a list only where it is asked for them: kubelet
 * lists all there is, and ends what it has not made (docs/adr/0104).
 */
import type { ContainerFilter, PodSandboxFilter } from "../gen/runtime/v1/api.js";
import type { Container } from "../runtime/container/container.js";
import type { Deps } from "../runtime/deps.js";
import type { Pod } from "../runtime/pod/pod.js";
import { fitsFilter as containerFits } from "./map/container-status.js";
import { fitsFilter as podFits } from "./map/pod-status.js";

/** `crictl pods --label a3s.dev/made-for=agents`. */
const ownLabels = "a3s.dev/";

export function shownPods(filter: PodSandboxFilter | undefined, { sandboxes }: Pick<Deps, "sandboxes">): Pod[] {
  const all = isAsked(filter, filter?.id);
  return sandboxes.list().filter((pod) => (all || pod.spec.madeFor === undefined) && podFits(pod, filter));
}

export function shownContainers(
  filter: ContainerFilter | undefined,
  { sandboxes, containers }: Pick<Deps, "sandboxes" | "containers">,
): Container[] {
  const fitting = containers.list().filter((container) => containerFits(container, filter));
  if (isAsked(filter, filter?.id, filter?.podSandboxId)) return fitting;
  const hidden = new Set(sandboxes.all().flatMap(({ id, spec }) => (spec.madeFor === undefined ? [] : id)));
  return fitting.filter(({ sandboxId }) => !hidden.has(sandboxId));
}

function isAsked(
  filter: Pick<PodSandboxFilter, "labelSelector"> | undefined,
  ...ids: readonly (string | undefined)[]
): boolean {
  if (ids.some((id) => id !== undefined && id !== "")) return true;
  return Object.keys(filter?.labelSelector ?? {}).some((name) => name.startsWith(ownLabels));
}
