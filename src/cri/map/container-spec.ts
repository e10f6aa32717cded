import { RuntimeError } from "../../base/errors.js";
import {
  ImageSpec,
  LinuxContainerSecurityContext,
  type ContainerConfig,
  type KeyValue,
} from "../../gen/runtime/v1/api.js";
import { containerSpec, type ContainerSpec } from "../../runtime/container/container-spec.js";
import { imageSpecOf, mountSpecOf } from "./mounts.js";
import { resourceSpecOf } from "./resources.js";
import { securitySpecOf } from "./security.js";
import { signalNameOf } from "./signals.js";

/** The container that CRI asks for. Throws `invalidArgument` for what a spec can't say; what is in it the engine checks. */
export function containerSpecOf(config: ContainerConfig): ContainerSpec {
  const stopSignal = signalNameOf(config.stopSignal);
  const resources = config.linux?.resources;
  const security = config.linux?.securityContext ?? LinuxContainerSecurityContext.fromPartial({});
  const spec: ContainerSpec = {
    name: config.metadata?.name ?? "",
    attempt: config.metadata?.attempt ?? 0,
    labels: config.labels,
    annotations: config.annotations,
    image: imageSpecOf(config.image ?? ImageSpec.fromPartial({})),
    command: config.command,
    args: config.args,
    workingDir: config.workingDir,
    env: config.envs.map(variableOf),
    mounts: config.mounts.map(mountSpecOf),
    devices: config.devices.map(({ hostPath, containerPath, permissions }) => ({
      hostPath,
      containerPath,
      permissions,
    })),
    cdiDevices: config.CDIDevices.map(({ name }) => name),
    logPath: config.logPath,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    tty: config.tty,
    security: securitySpecOf(security),
    ...(resources === undefined ? {} : { resources: resourceSpecOf(resources) }),
    ...(stopSignal === undefined ? {} : { stopSignal }),
  };
  return containerSpec.parse(spec); // a copy of its own, frozen
}

/** KeyValue.value is bytes in the contract, but the OCI spec is JSON and has text only. */
function variableOf({ key: name, value }: KeyValue): ContainerSpec["env"][number] {
  try {
    return { name, value: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value) };
  } catch (cause) {
    throw new RuntimeError("invalidArgument", `the value of environment variable ${name} is not UTF-8`, { cause });
  }
}
