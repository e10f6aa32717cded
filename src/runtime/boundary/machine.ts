import { RuntimeError } from "../../base/errors.js";
import type { HostNamespace } from "../../vmm/box.js";
import { checkOnHost } from "../../vmm/cgroup/host-cpus.js";
import type { ResourceSpec } from "../container/resource-spec.js";
import { guestRulesOf } from "../spec/guest-rules.js";
import { guestLimits } from "../spec/resources.js";
import type { Boundary, GuestFacts } from "./boundary.js";
import { askedOfHost } from "./host-namespaces.js";

/** The pod has a kernel of its own: nothing of the host's is in reach, and all of its own is. */
export const machineBoundary: Boundary = {
  name: "machine",
  hasGuestLink: true,
  hasClock: true,
  placesSources: true,
  takesProfile: false,
  sharesCpus: true,
  sharesOomScore: true,
  hasSize: true,
  hostNamespaces(spec): HostNamespace[] {
    const [first] = askedOfHost(spec);
    if (first === undefined) return [];
    throw new RuntimeError(
      "invalidArgument",
      `config.linux.security_context.namespace_options.${first} NODE (the host's namespace) is out of a microVM's reach`,
      {
        hint:
          'leave out hostNetwork, hostPID and hostIPC; or use a RuntimeClass whose handler has driver = "native", or set ' +
          'host_namespaces = "native" in the node\'s configuration',
      },
    );
  },
  checkSysctls: () => undefined,
  async specRules(spec, _pod, guest) {
    const rules = guestRulesOf(spec, await pagesFor(spec.resources, guest));
    await checkPlace(spec.resources);
    return rules;
  },
  async resources(resources, guest) {
    const limits = guestLimits(resources, await pagesFor(resources, guest));
    await checkPlace(resources);
    return limits;
  },
};

/** The Box runs there, and not the container alone: nobody but us would see it (`CpuSets`). */
async function checkPlace(resources: ResourceSpec | undefined): Promise<void> {
  await checkOnHost({ cpuset_cpus: resources?.cpusetCpus ?? "", cpuset_mems: resources?.cpusetMems ?? "" });
}

async function pagesFor(resources: ResourceSpec | undefined, guest: GuestFacts): Promise<readonly bigint[]> {
  return (resources?.hugePageLimits.length ?? 0) === 0 ? [] : await guest.hugePageKib();
}
