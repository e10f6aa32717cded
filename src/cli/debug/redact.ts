/** Facts without secrets, for people other than the node's own. Pure. */
import { hidden, hiddenValues } from "../../config/shown-config.js";
import type { ContainerRecord } from "../../runtime/container/container-record.js";
import type { PodRecord } from "../../runtime/pod/pod-record.js";

/** Annotations keep their names; of the network's plugins, whose configuration may have credentials, the types are left. */
export function shownSandbox({ spec, network, ...record }: PodRecord): unknown {
  const attachment = network && {
    ...network,
    list: { name: network.list.name, plugins: network.list.plugins.map(({ type }) => type) },
    args: Object.keys(network.args),
  };
  return {
    ...record,
    spec: { ...spec, annotations: hiddenValues(spec.annotations) },
    network: attachment,
  };
}

/** Environment and annotations keep their names, command lines their program. */
export function shownContainer({ spec, process, resources, ociSpec: _, ...record }: ContainerRecord): unknown {
  const shown = {
    ...spec,
    annotations: hiddenValues(spec.annotations),
    env: spec.env.map(({ name }) => name),
    command: programOnly(spec.command),
    args: spec.args.map(() => hidden),
  };
  const env = process.env.map((entry) => entry.replace(/=.*/s, `=${hidden}`));
  return {
    ...record,
    spec: shown,
    process: { ...process, env, args: programOnly(process.args) },
    updated: resources !== undefined,
  };
}

function programOnly(line: readonly string[]): string[] {
  return line.map((word, index) => (index === 0 ? word : hidden));
}
