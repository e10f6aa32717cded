/** Builders of requests, and what becomes of them on their way in. */
import {
  ContainerConfig,
  LinuxContainerResources,
  LinuxContainerSecurityContext,
  Mount,
} from "../../../../src/gen/runtime/v1/api.js";
import { containerSpecOf } from "../../../../src/cri/map/container-spec.js";
import type { ContainerSpec } from "../../../../src/runtime/container/container-spec.js";
import type { ImageConfig } from "../../../../src/image/image-store.js";
import { guestRules } from "../../../../src/runtime/spec/guest-rules.js";
import type { SpecInput } from "../../../../src/runtime/spec/build-spec.js";

type Security = Partial<LinuxContainerSecurityContext>;

export function security(members: Security): LinuxContainerSecurityContext {
  return { ...LinuxContainerSecurityContext.fromPartial({}), ...members };
}

function resources(members: Partial<LinuxContainerResources>): LinuxContainerResources {
  return { ...LinuxContainerResources.fromPartial({}), ...members };
}

export function config(members: Partial<ContainerConfig> = {}): ContainerConfig {
  return { ...ContainerConfig.fromPartial({}), command: ["/bin/app"], ...members };
}

export function secured(members: Security): ContainerConfig {
  return config({ linux: { securityContext: security(members), resources: undefined } });
}

export function limited(members: Partial<LinuxContainerResources>): ContainerConfig {
  return config({ linux: { securityContext: undefined, resources: resources(members) } });
}

export function mount(members: Partial<Mount>): Mount {
  return { ...Mount.fromPartial({}), hostPath: "/host", containerPath: "/data", ...members };
}

export const image: ImageConfig = {
  entrypoint: [],
  cmd: [],
  env: [],
  workingDir: "",
  user: "",
  stopSignal: "",
  labels: {},
  volumes: [],
  platform: "linux/amd64",
};

/** What a spec is made of, with CRI's config for the container. */
export interface Given extends Partial<Omit<SpecInput, "spec">> {
  readonly config?: ContainerConfig;
}

export function specOf(members: Partial<ContainerConfig> = {}): ContainerSpec {
  return containerSpecOf(config(members));
}

export function input({ config: given = config(), ...members }: Given = {}): SpecInput {
  return {
    id: "c".repeat(64),
    spec: containerSpecOf(given),
    image,
    database: { passwd: "", group: "" },
    sandbox: { hostname: "box", privileged: false, userns: undefined },
    targetPid: undefined,
    rules: guestRules,
    ...members,
  };
}

/** The message of what a function throws; "" when it throws nothing. */
export function complaint(run: () => unknown): string {
  try {
    run();
    return "";
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}
