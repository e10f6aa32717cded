import { RuntimeError } from "../../base/errors.js";
import { NamespaceMode, type IDMapping, type NamespaceOption, type UserNamespace } from "../../gen/runtime/v1/api.js";
import type {
  IdMapping,
  NamespaceSpec,
  NamespaceMode as Mode,
  UserNamespaceSpec,
} from "../../runtime/pod/namespace-spec.js";
import { nameOf } from "./names.js";

const modes: Readonly<Record<Mode, NamespaceMode>> = {
  pod: NamespaceMode.POD,
  container: NamespaceMode.CONTAINER,
  host: NamespaceMode.NODE,
  target: NamespaceMode.TARGET,
};

/** `field`: where the options are in the request, for the error. */
export function namespaceSpecOf(options: NamespaceOption, field: string): NamespaceSpec {
  const { network, pid, ipc, targetId, usernsOptions } = options;
  return {
    network: modeOf(network, `${field}.network`),
    pid: modeOf(pid, `${field}.pid`),
    ipc: modeOf(ipc, `${field}.ipc`),
    targetId,
    ...(usernsOptions === undefined ? {} : { users: userNamespaceSpecOf(usernsOptions, `${field}.userns_options`) }),
  };
}

/** As it was asked for. */
export function namespaceOptionOf({ network, pid, ipc, targetId, users }: NamespaceSpec): NamespaceOption {
  return {
    network: modes[network],
    pid: modes[pid],
    ipc: modes[ipc],
    targetId,
    usernsOptions: users && { mode: modes[users.mode], uids: [...users.uids], gids: [...users.gids] },
  };
}

export function idMappingsOf(mappings: readonly IDMapping[]): IdMapping[] {
  return mappings.map(({ containerId, hostId, length }) => ({ containerId, hostId, length }));
}

function userNamespaceSpecOf({ mode, uids, gids }: UserNamespace, field: string): UserNamespaceSpec {
  return { mode: modeOf(mode, `${field}.mode`), uids: idMappingsOf(uids), gids: idMappingsOf(gids) };
}

function modeOf(value: NamespaceMode, field: string): Mode {
  const name = nameOf(modes, value);
  if (name === undefined) throw new RuntimeError("invalidArgument", `${field} ${String(value)} does not exist`);
  return name;
}
