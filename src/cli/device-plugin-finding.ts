import { join } from "node:path";
import { messageOf } from "../base/errors.js";
import { someoneAnswers } from "../base/unix-socket.js";
import type { Config } from "../config/config.js";
import { lookAround } from "../device-plugin/look-around.js";
import { kubeletSocket, resourceName } from "../device-plugin/resource.js";
import { probeKvm } from "../vmm/probe.js";
import type { Finding } from "./finding.js";

const limitMs = 10_000;

/** What would become of the device plugin here; nothing where the configuration has none. */
export async function devicePluginFinding({ assets, devicePlugin }: Config): Promise<Finding[]> {
  if (!devicePlugin.enabled) return [];
  const subject = "device plugin";
  const { count, directory } = devicePlugin;
  try {
    const seen = await lookAround(directory, AbortSignal.timeout(limitMs));
    if (seen.kubeVirt)
      return [{ subject, verdict: "OK", detail: `KubeVirt offers ${resourceName}; this one steps aside` }];
    if (seen.kubelet === undefined || !(await someoneAnswers(join(directory, kubeletSocket)))) {
      const remedy = "start kubelet; device_plugin.directory must be the node's own";
      return [{ subject, verdict: "optional", detail: `no kubelet answers in ${directory}`, remedy }];
    }
    const verdict = await probeKvm(assets.dir);
    if (verdict.usable) return [{ subject, verdict: "OK", detail: `${String(count)} of ${resourceName}` }];
    const detail = `${resourceName} is unhealthy: ${verdict.reason}`;
    return [{ subject, verdict: "optional", detail, remedy: "see KVM above" }];
  } catch (thrown) {
    return [
      { subject, verdict: "optional", detail: messageOf(thrown), remedy: "the directory must be root's to read" },
    ];
  }
}
