/** Limits as CRI has them; plain values. Source: CRI LinuxContainerResources. 0 and "" are "not set" everywhere. */
import * as z from "zod";

/** Signed 64 bits: "no limit" is close to the largest of them (docs/adr/0097), and what was asked for is shown as it was. */
const int64 = z.bigint();

const hugePageLimit = z.object({ pageSize: z.string(), limitBytes: int64 }).readonly();
/** `pageSize`: "2MB". */
export type HugePageLimit = z.infer<typeof hugePageLimit>;

export const resourceSpec = z
  .object({
    cpuPeriodUs: int64,
    /** -1: unlimited. */
    cpuQuotaUs: int64,
    /** As of cgroup v1: 2 to 262144. */
    cpuShares: int64,
    memoryLimitBytes: int64,
    memorySwapLimitBytes: int64,
    oomScoreAdj: int64,
    /** Lists of the host's CPUs and memory nodes: "0-3,7". */
    cpusetCpus: z.string(),
    cpusetMems: z.string(),
    hugePageLimits: z.array(hugePageLimit).readonly(),
    /** cgroup v2 file name to content. */
    unified: z.record(z.string(), z.string()).readonly(),
  })
  .readonly();
export type ResourceSpec = z.infer<typeof resourceSpec>;
