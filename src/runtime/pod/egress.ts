/** What a pod may reach, while it runs. */
import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import { stage } from "../../base/stage.js";
import type { EgressFacts, EgressPlace } from "../../net/egress/keeper.js";
import type { EgressSpec } from "../../net/egress/policy.js";
import type { Deps } from "../deps.js";
import { egressPlace } from "./network.js";
import type { Pod } from "./pod.js";

const stepLimitMs = 20_000;
/** Reading what stands, and one transaction. */
const applyLimitMs = 50_000;

/**
 * Other rules for a pod that has some already. They are written down first: whatever happens then, the next daemon applies
 * what was asked for last.
 */
export async function setEgress(sandbox: Pod, spec: EgressSpec, deps: Deps, signal: AbortSignal): Promise<void> {
  await sandbox.liveBox(signal);
  await deps.sandboxes.locks.run(sandbox.id, signal, async () => {
    const place = requirePlace(sandbox);
    const before = sandbox.record.egress;
    await stage("record egress rules", stepLimitMs, signal, () => deps.sandboxes.update(sandbox, { egress: spec }));
    try {
      await stage("change egress rules", applyLimitMs, signal, (limit) => deps.egress.apply(place, spec, limit));
    } catch (thrown) {
      if (codeOf(thrown) !== "deadlineExceeded" && !signal.aborted) {
        await stage("record egress rules", stepLimitMs, signal, () =>
          deps.sandboxes.update(sandbox, { egress: before }),
        );
      }
      throw thrown;
    }
  });
}

export async function egressFacts(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<EgressFacts> {
  await sandbox.liveBox(signal);
  return await deps.egress.facts(requirePlace(sandbox), signal);
}

/** After a restart: the rules stand, and names are answered again. What fails leaves them as they are. */
export async function keepEgress(sandbox: Pod, deps: Deps, signal: AbortSignal): Promise<void> {
  const { egress, network } = sandbox.record;
  if (egress === undefined || network === undefined) return;
  try {
    await stage("recover: egress rules", applyLimitMs, signal, (limit) =>
      deps.egress.apply(egressPlace(sandbox, network), egress, limit),
    );
  } catch (thrown) {
    deps.log.error({ sandboxId: sandbox.id, err: messageOf(thrown) }, "egress rules stand as they were, without names");
  }
}

function requirePlace(sandbox: Pod): EgressPlace {
  const { egress, network } = sandbox.record;
  if (egress !== undefined && network !== undefined) return egressPlace(sandbox, network);
  throw new RuntimeError("failedPrecondition", `pod ${shortId(sandbox.id)} has no egress rules`, {
    hint: network === undefined ? "it has no network; make one that has" : "the network plugin decides what it reaches",
  });
}
