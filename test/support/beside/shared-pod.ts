import type { PodConfigPart } from "../pods.js";

/** Of the pod that the cases share. Privileged, as some of its containers are. */
export const sharedPodConfig: PodConfigPart = {
  hostname: "beside-pod",
  dnsConfig: { servers: ["192.0.2.53"], searches: ["one.test", "two.test"], options: ["ndots:3"] },
  labels: { "of.the.pod": "label" },
  annotations: { "of.the.pod": "annotation" },
  linux: {
    sysctls: { "net.ipv4.ip_local_port_range": "20000 30000", "kernel.shm_rmid_forced": "1" },
    securityContext: { privileged: true },
  },
};
