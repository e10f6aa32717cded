import type { BoxHandle } from "../../vmm/box.js";

/** The host's process that a pod is: the VMM of a Box, the agent of a pod of the host. Whether it lives is another question. */
export function podPid({ driver, processes }: Pick<BoxHandle, "driver" | "processes">): number | undefined {
  const role = driver === "native" ? "agent" : "vmm";
  return processes.find((one) => one.role === role)?.pid;
}
