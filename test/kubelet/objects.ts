/** Pods of a cluster's users, for its tests. */
import { busyboxImage } from "../support/images.js";

export const container = { image: busyboxImage, imagePullPolicy: "Never", resources: { requests: { cpu: "100m" } } };
export const shell = (line: string): string[] => ["sh", "-c", line];
export const idle = "trap 'exit 0' TERM; while :; do sleep 0.2; done";
export const pod = (name: string, spec: object) => ({
  ...{ apiVersion: "v1", kind: "Pod", metadata: { name } },
  spec: { terminationGracePeriodSeconds: 2, ...spec },
});
export const runtimeClass = (name: string) => ({
  ...{ apiVersion: "node.k8s.io/v1", kind: "RuntimeClass", metadata: { name }, handler: name },
});
