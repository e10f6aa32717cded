/** Facts without secrets, for people other than the node's own. Pure. */
import { hidden, hiddenValues } from "../../config/shown-config.js";
import {
  decodeConfig as decodeContainerConfig,
  type ContainerRecord,
} from "../../runtime/container/container-record.js";
import { decodeConfig as decodeSandboxConfig, type SandboxRecord } from "../../runtime/pod/sandbox-record.js";

/** Annotations keep their names; of the network's plugins, whose configuration may have credentials, the types are left. */
export function shownSandbox({ config, network, ...record }: SandboxRecord): unknown {
  const { annotations, ...rest } = decodeSandboxConfig(config);
  const attachment = network && {
    ...network,
    list: { name: network.list.name, plugins: network.list.plugins.map(({ type }) => type) },
    args: Object.keys(network.args),
  };
  return {
    ...record,
    config: { ...rest, annotations: hiddenValues(annotations) },
    network: attachment,
  };
}

/** Environment and annotations keep their names, command lines their program. */
export function shownContainer({ config, process, resources, ...record }: ContainerRecord): unknown {
  const { annotations, args, command, envs, ...rest } = decodeContainerConfig(config);
  const shown = {
    ...rest,
    annotations: hiddenValues(annotations),
    envs: envs.map(({ key }) => key),
    command: programOnly(command),
    args: args.map(() => hidden),
  };
  const env = process.env.map((entry) => entry.replace(/=.*/s, `=${hidden}`));
  return {
    ...record,
    config: shown,
    process: { ...process, env, args: programOnly(process.args) },
    updated: resources !== undefined,
  };
}

function programOnly(line: readonly string[]): string[] {
  return line.map((word, index) => (index === 0 ? word : hidden));
}
