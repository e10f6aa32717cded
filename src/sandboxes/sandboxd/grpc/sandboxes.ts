import { SandboxServiceService, type SandboxServiceServer } from "../../../gen/sandboxes/v1/sandboxes.js";
import type { GrpcProtocol } from "../../listen/protocol.js";
import type { SandboxdParts } from "../parts.js";
import { type Calls, callsOf, usualLimitMs } from "./calls.js";
import { egressFactsMessage } from "./map/egress.js";
import { egressWanted, filterOf, sandboxMessage, sandboxWanted } from "./map/sandbox.js";
import { wholeNumber } from "../given.js";
import { watchedCreation } from "./watched-creation.js";

const usualPage = 100;
const largestPage = 1000;
/** Creating, ending and what is like it have limits of their own. */
const ownLimits = Number.POSITIVE_INFINITY;

/** `sandboxes.v1.SandboxService`: the sandboxes themselves. */
export function sandboxService(parts: SandboxdParts): GrpcProtocol {
  return {
    service: SandboxServiceService,
    implementation: (who) => service(parts, callsOf(parts, who)),
  };
}

function service({ sandboxes }: SandboxdParts, { unary, streams }: Calls): SandboxServiceServer {
  return {
    createSandbox: unary("CreateSandbox", ownLimits, async (request, { caller, signal }) => ({
      sandbox: sandboxMessage(await sandboxes.create(caller, sandboxWanted(request), signal)),
    })),
    createSandboxWatched: streams("CreateSandboxWatched", (request, asked) =>
      watchedCreation(sandboxes, request, asked),
    ),
    getSandbox: unary("GetSandbox", usualLimitMs, ({ sandboxId }, { caller, sandbox }) =>
      Promise.resolve({ sandbox: sandboxMessage(sandboxes.get(caller, sandbox(sandboxId))) }),
    ),
    listSandboxes: unary("ListSandboxes", usualLimitMs, (request, { caller }) => {
      const limit = Math.min(request.pageSize === 0 ? usualPage : request.pageSize, largestPage);
      const after = request.pageToken === "" ? {} : { after: request.pageToken };
      const { items, next } = sandboxes.list(caller, filterOf(request), { limit, ...after });
      return Promise.resolve({ sandboxes: items.map(sandboxMessage), nextPageToken: next ?? "" });
    }),
    extendSandbox: unary("ExtendSandbox", usualLimitMs, async (request, { caller, sandbox }) => {
      const lifeMs = wholeNumber("life_ms", request.lifeMs);
      const only = request.onlyLater ? "later" : "any";
      return { sandbox: sandboxMessage(await sandboxes.extend(caller, sandbox(request.sandboxId), lifeMs, only)) };
    }),
    endSandbox: unary("EndSandbox", ownLimits, async ({ sandboxId }, { caller, sandbox, signal }) => {
      await sandboxes.end(caller, sandbox(sandboxId), signal);
      return {};
    }),
    pauseSandbox: unary("PauseSandbox", ownLimits, async ({ sandboxId }, { caller, sandbox, signal }) => {
      await sandboxes.pause(caller, sandbox(sandboxId), signal);
      return {};
    }),
    resumeSandbox: unary("ResumeSandbox", ownLimits, async ({ sandboxId }, { caller, sandbox, signal }) => ({
      sandbox: sandboxMessage(await sandboxes.resume(caller, sandbox(sandboxId), signal)),
    })),
    setSandboxEgress: unary("SetSandboxEgress", ownLimits, async (request, { caller, sandbox, signal }) => {
      const wanted = egressWanted(request.egress ?? { allowOut: [], denyOut: [], rest: 0 });
      return { sandbox: sandboxMessage(await sandboxes.setEgress(caller, sandbox(request.sandboxId), wanted, signal)) };
    }),
    getSandboxEgress: unary("GetSandboxEgress", usualLimitMs, async ({ sandboxId }, { caller, sandbox, signal }) => {
      const id = sandbox(sandboxId);
      return egressFactsMessage(sandboxes.get(caller, id), await sandboxes.egress(caller, id, signal));
    }),
    getSandboxUsage: unary("GetSandboxUsage", usualLimitMs, async ({ sandboxId }, { caller, sandbox, signal }) => {
      const usage = await sandboxes.usage(caller, sandbox(sandboxId), signal);
      return {
        at: new Date(usage.atMs),
        vcpus: usage.vcpus,
        cpuPercent: usage.cpuPercent,
        memoryUsedBytes: BigInt(usage.memoryUsedBytes),
        memoryTotalBytes: BigInt(usage.memoryTotalBytes),
        memoryCacheBytes: BigInt(usage.memoryCacheBytes),
        diskUsedBytes: BigInt(usage.diskUsedBytes),
        diskTotalBytes: BigInt(usage.diskTotalBytes),
      };
    }),
  };
}
