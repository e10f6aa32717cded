import { RuntimeError } from "../../base/errors.js";
import type { HandlerConfig } from "../../config/config.js";
import type { PodSpec } from "../../runtime/pod/pod-spec.js";
import type { ServedPort } from "../../runtime/served-ports/served-by-host.js";

/** The name of the service in pods' records. */
export const runtimeApi = "runtime-api";
const annotation = "a3s.dev/runtime-api";
/** Of a token that every call has to bring: its digest, so that who reads the pod does not have it. */
const digestAnnotation = "a3s.dev/runtime-api-token-sha256";
/** As agent-sandbox's clients expect them (KEP-539.2). */
export const runtimePorts = { grpc: 9090, rest: 8080 } as const;
/** More clients than that of one pod are no clients. */
const mostConnections = 64;
const addresses: Readonly<Record<string, ServedPort["address"]>> = { true: "any", loopback: "loopback" };

/**
 * The ports at which a pod has the runtime API, by its annotation: "true" on all its addresses, "loopback" on 127.0.0.1 and
 * ::1 alone, where port-forward and the pod's own programs reach them. Throws `invalidArgument`.
 */
export function runtimePortsOf({ annotations, madeFor }: PodSpec, handler: HandlerConfig): readonly ServedPort[] {
  const value = annotations[annotation];
  // A sandbox of the agents' edge has it at the edge's own port.
  if (value === undefined || value === "false" || madeFor !== undefined) return [];
  const address = Object.hasOwn(addresses, value) ? addresses[value] : undefined;
  if (address === undefined) {
    throw new RuntimeError(
      "invalidArgument",
      `annotation ${annotation}: ${JSON.stringify(value.slice(0, 80))} is unknown`,
      {
        hint: '"true", "loopback" or "false"',
      },
    );
  }
  if (!handler.annotations.includes("runtime_api")) {
    throw new RuntimeError("invalidArgument", `annotation ${annotation} is not allowed by the pod's handler`, {
      hint: 'annotations = ["runtime_api"] in the handler\'s table of the configuration allows it',
    });
  }
  runtimeTokenOf({ annotations });
  return Object.values(runtimePorts).map((port) => ({ port, address, mostConnections }));
}

/** The digest of the token that callers need; undefined: none. Throws `invalidArgument`. */
export function runtimeTokenOf({ annotations }: Pick<PodSpec, "annotations">): Buffer | undefined {
  const digest = annotations[digestAnnotation];
  if (digest === undefined) return undefined;
  if (/^[0-9a-f]{64}$/.test(digest)) return Buffer.from(digest, "hex");
  throw new RuntimeError("invalidArgument", `annotation ${digestAnnotation} is no SHA-256 in hexadecimal`, {
    hint: '64 digits, as of: printf %s "$TOKEN" | sha256sum',
  });
}
