import { MetricType, type Metric, type MetricDescriptor, type PodSandboxMetrics } from "../../gen/runtime/v1/api.js";
import { familyOf, type Descriptor } from "../../runtime/stats/metrics/families.js";
import type { PodMetrics } from "../../runtime/stats/metrics/pod-metrics.js";
import type { Sample } from "../../runtime/stats/metrics/samples.js";

const types = { counter: MetricType.COUNTER, gauge: MetricType.GAUGE } as const;

export function criMetrics({ sandboxId, samples, containers }: PodMetrics): PodSandboxMetrics {
  return {
    podSandboxId: sandboxId,
    metrics: samples.map(criMetric),
    containerMetrics: containers.map((one) => ({ containerId: one.containerId, metrics: one.samples.map(criMetric) })),
  };
}

export function criDescriptor({ name, help, labels }: Descriptor): MetricDescriptor {
  return { name, help, labelKeys: [...labels] };
}

function criMetric({ name, labelValues, value }: Sample): Metric {
  // 0: measured for this call (api.proto, Metric.timestamp).
  return {
    name,
    timestamp: 0n,
    metricType: types[familyOf(name).type],
    labelValues: [...labelValues],
    value: { value },
  };
}
