import { RuntimeError } from "../../../../base/errors.js";
import {
  AtEnd,
  type CreateSandboxRequest,
  type Egress,
  EgressRest,
  type ListSandboxesRequest,
  Network,
  type Sandbox,
  SandboxState,
} from "../../../../gen/sandboxes/v1/sandboxes.js";
import type { EgressWanted } from "../../../../net/egress/policy.js";
import type {
  SandboxEgress,
  SandboxFilter,
  SandboxState as State,
  SandboxView,
  SandboxWanted,
} from "../../../core/sandbox.js";
import { given, wholeNumber } from "../../given.js";

const stateNumbers = {
  starting: SandboxState.STARTING,
  running: SandboxState.RUNNING,
  paused: SandboxState.PAUSED,
  ended: SandboxState.ENDED,
} satisfies Record<State, SandboxState>;

export function sandboxWanted(request: CreateSandboxRequest): SandboxWanted {
  const { template, env, metadata, mounts, vcpus, memoryMib, diskMib, user, workingDir } = request;
  if (template === "") throw new RuntimeError("invalidArgument", "template is empty");
  return {
    template,
    env,
    metadata,
    mounts: mounts.map(({ hostPath, path, readonly }) => ({ hostPath, path, readonly })),
    ...given("vcpus", vcpus),
    ...given("memoryMib", memoryMib),
    ...given("diskMib", diskMib),
    ...given("user", user),
    ...given("workingDir", workingDir),
    ...given("network", networkOf(request.network)),
    ...given("llm", request.llm?.names),
    ...given("agent", request.agent),
    ...given("skills", request.skills?.hostPaths),
    ...given("egress", request.egress === undefined ? undefined : egressWanted(request.egress)),
    ...given("lifeMs", request.lifeMs === undefined ? undefined : wholeNumber("life_ms", request.lifeMs)),
    ...given("idleMs", request.idleMs === undefined ? undefined : wholeNumber("idle_ms", request.idleMs)),
    ...given("atEnd", atEndOf(request.atEnd)),
    ...given("endsWithOwner", request.endsWithOwner),
  };
}

/** Numbers that this version does not know are refused: what they ask for would not be there. */
function networkOf(number: number): "none" | "pod" | undefined {
  if (number === Network.UNSPECIFIED) return undefined;
  if (number === Network.NONE) return "none";
  if (number === Network.POD) return "pod";
  throw new RuntimeError("invalidArgument", `network has no value ${String(number)}`);
}

export function egressWanted({ allowOut, denyOut, rest }: Egress): EgressWanted {
  return { allowOut, denyOut, ...given("rest", restOf(rest)) };
}

function restOf(number: number): "allow" | "deny" | undefined {
  if (number === EgressRest.UNSPECIFIED) return undefined;
  if (number === EgressRest.ALLOW) return "allow";
  if (number === EgressRest.DENY) return "deny";
  throw new RuntimeError("invalidArgument", `rest has no value ${String(number)}`);
}

export function egressMessage({ allowOut, denyOut, rest }: SandboxEgress): Egress {
  return {
    allowOut: [...allowOut],
    denyOut: [...denyOut],
    rest: rest === "allow" ? EgressRest.ALLOW : EgressRest.DENY,
  };
}

function atEndOf(number: number): "end" | "pause" | undefined {
  if (number === AtEnd.UNSPECIFIED) return undefined;
  if (number === AtEnd.END) return "end";
  if (number === AtEnd.PAUSE) return "pause";
  throw new RuntimeError("invalidArgument", `at_end has no value ${String(number)}`);
}

export function filterOf({ metadata, states, template, startedAfter }: ListSandboxesRequest): SandboxFilter {
  return {
    ...given("metadata", Object.keys(metadata).length === 0 ? undefined : metadata),
    ...given("states", states.length === 0 ? undefined : states.map(stateOf)),
    ...given("template", template === "" ? undefined : template),
    ...given("startedAfterMs", startedAfter?.getTime()),
  };
}

const names: readonly State[] = ["starting", "running", "paused", "ended"];

function stateOf(number: number): State {
  const state = names.find((name) => stateNumbers[name] === number);
  if (state === undefined) throw new RuntimeError("invalidArgument", `states has no value ${String(number)}`);
  return state;
}

export function sandboxMessage(view: SandboxView): Sandbox {
  const { id, tenant, template, image, vcpus, memoryMib, diskMib, user, workingDir, endsWithOwner } = view;
  return {
    ...{ id, tenant, template, image, vcpus, memoryMib, diskMib, user, workingDir, endsWithOwner },
    state: stateNumbers[view.state],
    startedAt: new Date(view.startedAtMs),
    endsAt: dateOf(view.endsAtMs),
    env: { ...view.env },
    mounts: view.mounts.map((mount) => ({ ...mount })),
    metadata: { ...view.metadata },
    network: view.network === "none" ? Network.NONE : Network.POD,
    atEnd: view.atEnd === "end" ? AtEnd.END : AtEnd.PAUSE,
    podId: view.podId,
    containerId: view.containerId,
    command: [...view.command],
    egress: view.egress === undefined ? undefined : egressMessage(view.egress),
    agent: view.agent === undefined ? undefined : { ...view.agent, command: [...view.agent.command] },
  };
}

/** Absent where it never ends. */
function dateOf(ms: number): Date | undefined {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
