/** What a pod has of ports that the host serves, as its record has it. */
import * as z from "zod";

/** What the guest's agent takes for all ports of a pod together. */
export const mostConnectionsOfPod = 256;

const servedPort = z
  .object({
    port: z.int().min(1).max(65_535),
    /** loopback: 127.0.0.1 and ::1, for programs in the pod. any: every address of the pod too, for all who reach it. */
    address: z.enum(["loopback", "any"]),
    /** Connections of this port at a time; one more is reset. All ports of a pod together have `mostConnectionsOfPod`. */
    mostConnections: z.int().min(1).max(mostConnectionsOfPod),
  })
  .readonly();
export type ServedPort = z.infer<typeof servedPort>;

/** Of one service, decided when the pod was made. */
export const servedByHost = z.object({ service: z.string(), ports: z.array(servedPort).readonly() }).readonly();
export type ServedByHost = z.infer<typeof servedByHost>;
