import { RuntimeError } from "../../base/errors.js";

/** CNI conventions, capability "bandwidth": bits per second, and bits. */
export interface Bandwidth {
  readonly ingressRate?: number;
  readonly ingressBurst?: number;
  readonly egressRate?: number;
  readonly egressBurst?: number;
}

/** No burst of a pod is worth cutting: what containerd passes too. */
const burstBits = 2 ** 32 - 1;
/** kubelet pkg/util/bandwidth: 1k to 1P. */
const least = 1e3;
const most = 1e15;

const factors: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** From the annotations that kubelet's users know; undefined when there are none. `invalidArgument` for a wrong one. */
export function bandwidthOf(annotations: Readonly<Record<string, string>>): Bandwidth | undefined {
  const ingress = rateOf("kubernetes.io/ingress-bandwidth", annotations);
  const egress = rateOf("kubernetes.io/egress-bandwidth", annotations);
  if (ingress === undefined && egress === undefined) return undefined;
  return {
    ...(ingress === undefined ? {} : { ingressRate: ingress, ingressBurst: burstBits }),
    ...(egress === undefined ? {} : { egressRate: egress, egressBurst: burstBits }),
  };
}

/** A Kubernetes quantity ("10M", "1Gi", "1e7"), in bits per second. */
function rateOf(name: string, annotations: Readonly<Record<string, string>>): number | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  const [, digits, suffix = "", power = "0"] =
    /^\+?(\d+\.?\d*|\.\d+)(?:([numkMGTP]|[KMGTP]i)|[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const rate = Math.ceil(Number(digits) * (factors[suffix] ?? Number.NaN) * 10 ** Number(power));
  if (rate >= least && rate <= most) return rate;
  throw new RuntimeError("invalidArgument", `annotation ${name}: "${text.slice(0, 40)}" is no bandwidth`, {
    hint: 'allowed: a quantity from "1k" to "1P", in bits per second',
  });
}
