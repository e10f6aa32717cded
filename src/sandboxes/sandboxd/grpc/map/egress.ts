import type { GetSandboxEgressResponse } from "../../../../gen/sandboxes/v1/sandboxes.js";
import type { EgressFacts } from "../../../../net/egress/keeper.js";
import type { SandboxView } from "../../../core/sandbox.js";
import { egressMessage } from "./sandbox.js";

export function egressFactsMessage(view: SandboxView, facts: EgressFacts): GetSandboxEgressResponse {
  const nowMs = Date.now();
  return {
    egress: view.egress === undefined ? undefined : egressMessage(view.egress),
    refused: Object.fromEntries(Object.entries(facts.refused).map(([reason, count]) => [reason, BigInt(count)])),
    destinations: facts.destinations.map(({ address, protocol, port, reason, packets, agoS }) => ({
      ...{ address, protocol, port, reason },
      packets: BigInt(packets),
      lastAt: new Date(nowMs - agoS * 1000),
    })),
    names: facts.names.map(({ name, reason, count, atMs }) => ({
      ...{ name, reason },
      questions: BigInt(count),
      lastAt: new Date(atMs),
    })),
  };
}
