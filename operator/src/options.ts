/** The command line. Every flag has a default that fits the manifests of `deploy/operator`. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { parseArgs } from "node:util";

export interface Options {
  readonly kubeconfig: string | undefined;
  /** Where the Lease is. */
  readonly namespace: string;
  readonly leaseName: string;
  readonly leaseSeconds: number;
  readonly identity: string;
  readonly runtimeClass: string;
  readonly runtimeImage: string;
  readonly metricsPort: number;
  readonly watchIdleSeconds: number;
  readonly discoverySeconds: number;
  readonly workers: number;
}

export const usage = `Usage: a3s-box-operator [FLAG…]

  --kubeconfig FILE       without it the service account of its pod, or KUBECONFIG
  --namespace NAME        of the Lease: POD_NAMESPACE, or default
  --lease-name NAME       a3s-box-operator
  --lease-seconds N       after so long without a leader another takes over: 10
  --runtime-class NAME    what pods of mode cri run in where they name none: microvm
  --runtime-image IMAGE   of the sidecar: A3S_BOX_IMAGE, or a3s-box:0.2.0
  --metrics-port N        /metrics, /healthz and /readyz; 0 for any: 8081
  --watch-idle-seconds N  a watch without a word for so long is dead: 150
  --discovery-seconds N   how often agent-sandbox is looked for: 30
  --workers N             how many A3sBoxes at a time: 4
`;

const text = { type: "string" } as const;
const flags = {
  kubeconfig: text,
  namespace: text,
  "lease-name": text,
  "lease-seconds": text,
  "runtime-class": text,
  "runtime-image": text,
  "metrics-port": text,
  "watch-idle-seconds": text,
  "discovery-seconds": text,
  workers: text,
  help: { type: "boolean" },
} as const;

type NumberFlag = "lease-seconds" | "metrics-port" | "watch-idle-seconds" | "discovery-seconds" | "workers";

/** Undefined when help was asked for. Throws for what is not understood. */
export function parseOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Options | undefined {
  const { values } = parseArgs({ args: [...args], options: flags, strict: true });
  if (values.help === true) return undefined;
  const number = (name: NumberFlag, otherwise: number, least = 1): number => {
    const said = values[name];
    const value = said === undefined ? otherwise : Number(said);
    if (!Number.isInteger(value) || value < least || value > 65_535) {
      throw new Error(`--${name}: a whole number from ${String(least)} to 65535 is wanted`);
    }
    return value;
  };
  return {
    kubeconfig: values.kubeconfig,
    namespace: values.namespace ?? env["POD_NAMESPACE"] ?? "default",
    leaseName: values["lease-name"] ?? "a3s-box-operator",
    leaseSeconds: number("lease-seconds", 10, 2),
    // Two of one name, on two machines with one host name, would both lead.
    identity: `${hostname()}_${randomBytes(6).toString("hex")}`,
    runtimeClass: values["runtime-class"] ?? "microvm",
    runtimeImage: values["runtime-image"] ?? env["A3S_BOX_IMAGE"] ?? "a3s-box:0.2.0",
    metricsPort: number("metrics-port", 8081, 0),
    watchIdleSeconds: number("watch-idle-seconds", 150),
    discoverySeconds: number("discovery-seconds", 30),
    workers: number("workers", 4),
  };
}
