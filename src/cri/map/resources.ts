import type { LinuxContainerResources } from "../../gen/runtime/v1/api.js";
import type { ResourceSpec } from "../../runtime/container/resource-spec.js";

export function resourceSpecOf(resources: LinuxContainerResources): ResourceSpec {
  return {
    cpuPeriodUs: resources.cpuPeriod,
    cpuQuotaUs: resources.cpuQuota,
    cpuShares: resources.cpuShares,
    memoryLimitBytes: resources.memoryLimitInBytes,
    memorySwapLimitBytes: resources.memorySwapLimitInBytes,
    oomScoreAdj: resources.oomScoreAdj,
    cpusetCpus: resources.cpusetCpus,
    cpusetMems: resources.cpusetMems,
    hugePageLimits: resources.hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limitBytes: limit })),
    unified: { ...resources.unified },
  };
}

/** As they were asked for. */
export function criResources(spec: ResourceSpec): LinuxContainerResources {
  return {
    cpuPeriod: spec.cpuPeriodUs,
    cpuQuota: spec.cpuQuotaUs,
    cpuShares: spec.cpuShares,
    memoryLimitInBytes: spec.memoryLimitBytes,
    memorySwapLimitInBytes: spec.memorySwapLimitBytes,
    oomScoreAdj: spec.oomScoreAdj,
    cpusetCpus: spec.cpusetCpus,
    cpusetMems: spec.cpusetMems,
    hugepageLimits: spec.hugePageLimits.map(({ pageSize, limitBytes }) => ({ pageSize, limit: limitBytes })),
    unified: { ...spec.unified },
  };
}
