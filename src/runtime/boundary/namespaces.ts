import { RuntimeError } from "../../base/errors.js";
import type { HostNamespace } from "../../vmm/box.js";
import { limitFacts } from "../../vmm/cgroup/limit-facts.js";
import { readMountinfo } from "../../base/mountinfo.js";
import { hostDevices } from "../spec/host-devices.js";
import { userNamespaceOf } from "../pod/user-namespace.js";
import { hostLimits, hostRules } from "../spec/host-rules.js";
import type { Boundary } from "./boundary.js";
import { askedOfHost } from "./host-namespaces.js";

/** The pod is one of the host's own. */
export const namespaceBoundary: Boundary = {
  name: "namespaces",
  hasGuestLink: false,
  hasClock: false,
  placesSources: false,
  takesProfile: true,
  sharesCpus: false,
  sharesOomScore: false,
  hasSize: false,
  hostNamespaces: askedOfHost,
  checkSysctls(spec): void {
    const shared = askedOfHost(spec);
    for (const name of Object.keys(spec.sysctls)) checkSysctl(name.replaceAll("/", "."), shared);
  },
  async specRules(spec, pod) {
    const [mounts, limits, devices] = await Promise.all([readMountinfo(), limitFacts(), hostDevices(spec)]);
    const hasUsers = userNamespaceOf(pod) !== undefined;
    return hostRules({ shared: askedOfHost(pod), mounts, limits, devices, hasUsers });
  },
  resources: async (resources) => hostLimits(resources, await limitFacts()),
};

/** namespaces(7): what a namespace has of its own; the rest would be set for the whole host. */
function checkSysctl(name: string, shared: readonly HostNamespace[]): void {
  const refuse = (why: string): never => {
    throw new RuntimeError("invalidArgument", `sysctl "${name}" ${why}`, {
      hint: "use a RuntimeClass whose pods have a kernel of their own",
    });
  };
  const isIpc = /^(?:kernel\.(?:shm|msg)|kernel\.sem$|fs\.mqueue\.)/.test(name);
  if (isIpc && shared.includes("ipc")) refuse("would be set for the host, whose IPC the pod has");
  if (name.startsWith("net.") && shared.includes("network")) refuse("would be set for the host, whose network it has");
  if (!isIpc && !name.startsWith("net.")) refuse("is one of the whole host");
}
