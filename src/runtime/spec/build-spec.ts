/**
 * A container's spec to the OCI runtime spec, in two steps: `planSpec` checks the whole request and decides everything
 * that doesn't need a place in the share, `finishSpec` puts the paths in. Both are pure.
 */
import { RuntimeError } from "../../base/errors.js";
import type { ImageConfig } from "../../image/image-store.js";
import type { ContainerSpec } from "../container/container-spec.js";
import type { UserNamespaceSpec } from "../pod/namespace-spec.js";
import { apparmorProfileOf } from "./apparmor.js";
import { capabilities } from "./capabilities.js";
import { allMounts, checkMount, type MountTraits, type PlacedMount } from "./mounts.js";
import type { OciLinux, OciProcess, OciSpec } from "./oci.js";
import { processArgs, processEnv, workingDirectory } from "./process.js";
import { oomScoreAdj } from "./resources.js";
import type { SpecRules } from "./rules.js";
import { stopSignal } from "./signals.js";
import { checkUserNamespace, ociMapping } from "./user-namespace.js";
import { resolveUser, type UserDatabase } from "./user.js";

export interface SpecInput {
  /** The container's id: name of its cgroup. */
  readonly id: string;
  readonly spec: ContainerSpec;
  readonly image: ImageConfig;
  readonly database: UserDatabase;
  readonly sandbox: {
    readonly hostname: string;
    readonly privileged: boolean;
    /** The pod's; undefined: none of its own. */
    readonly userns?: UserNamespaceSpec | undefined;
    readonly environment?: Readonly<Record<string, string>>;
  };
  /** Init of the container whose PID namespace is joined, for the mode "target". */
  readonly targetPid: number | undefined;
  readonly rules: SpecRules;
}

export interface SpecPlan {
  readonly process: OciProcess;
  readonly linux: OciLinux;
  readonly annotations: Readonly<Record<string, string>>;
  readonly mountTraits: MountTraits;
  /** Linux number. */
  readonly stopSignal: number;
}

/** Soft and hard limit of open files: what systemd gives services, high enough to raise, low enough to close in a loop. */
const openFiles = { type: "RLIMIT_NOFILE", soft: 1024, hard: 524_288 };

export function planSpec(input: SpecInput): SpecPlan {
  const { spec, image, rules } = input;
  const { security } = spec;
  if (security.privileged && !input.sandbox.privileged) {
    throw new RuntimeError("invalidArgument", "a privileged container needs a privileged sandbox", {
      hint: "set privileged in the sandbox's security context too",
    });
  }
  rules.checkNamespaces(security);
  checkUserNamespace(spec, input.sandbox.userns, rules);
  rules.checkDevices(spec);
  spec.mounts.forEach((mount, index) => {
    checkMount(mount, index, rules);
  });
  if (spec.tty && spec.stdinOnce && !spec.stdin) {
    throw new RuntimeError("invalidArgument", "stdin_once is set without stdin");
  }
  const user = resolveUser(security.user, image.user, input.database);
  const { privileged, readonlyRootfs, noNewPrivileges } = security;
  const adjustment = oomScoreAdj(spec.resources);
  const apparmorProfile = apparmorProfileOf(security);
  return {
    process: {
      terminal: spec.tty,
      user: user.oci,
      args: processArgs(spec, image),
      env: processEnv(spec, image, {
        hostname: input.sandbox.hostname,
        home: user.home,
        terminal: spec.tty,
        ofPod: input.sandbox.environment ?? {},
      }),
      cwd: workingDirectory(spec, image),
      capabilities: capabilities(security),
      rlimits: [openFiles],
      noNewPrivileges,
      ...(adjustment === undefined ? {} : { oomScoreAdj: adjustment }),
      ...(apparmorProfile === undefined ? {} : { apparmorProfile }),
    },
    linux: linuxOf(input),
    annotations: rules.annotations(security),
    mountTraits: { privileged, readonlyRootfs },
    stopSignal: stopSignal(spec.stopSignal, image.stopSignal),
  };
}

function linuxOf(input: SpecInput): OciLinux {
  const { spec, rules } = input;
  const { privileged, maskedPaths, readonlyPaths } = spec.security;
  const devices = rules.devices(privileged);
  const propagation = rootPropagation(spec);
  return {
    ...namespacesOf(input),
    resources: { ...rules.resources(spec.resources), devices: rules.deviceRules(privileged) },
    maskedPaths: privileged ? [] : maskedPaths,
    readonlyPaths: privileged ? [] : readonlyPaths,
    ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
    ...(devices.length === 0 ? {} : { devices }),
  };
}

/** The root must let through what one of its mounts is to get, or to give. */
function rootPropagation({ mounts }: ContainerSpec): string | undefined {
  const wanted = new Set(mounts.map(({ propagation }) => propagation));
  if (wanted.has("bidirectional")) return "rshared";
  return wanted.has("hostToContainer") ? "rslave" : undefined;
}

function namespacesOf({
  spec,
  rules,
  sandbox,
  targetPid,
}: SpecInput): Pick<OciLinux, "namespaces" | "uidMappings" | "gidMappings"> {
  const usual = rules.namespaces(spec.security, targetPid);
  if (sandbox.userns === undefined) return { namespaces: usual };
  const { uids, gids } = sandbox.userns;
  return {
    namespaces: [...usual, { type: "user" }],
    uidMappings: uids.map(ociMapping),
    gidMappings: gids.map(ociMapping),
  };
}

/** `sharedMemory`: where the pod's /dev/shm is. */
export function finishSpec(
  plan: SpecPlan,
  rootPath: string,
  mounts: readonly PlacedMount[],
  sharedMemory: string,
): OciSpec {
  return {
    ociVersion: "1.2.0",
    process: plan.process,
    root: { path: rootPath, readonly: plan.mountTraits.readonlyRootfs },
    mounts: allMounts(mounts, plan.mountTraits, sharedMemory),
    linux: plan.linux,
    ...(Object.keys(plan.annotations).length === 0 ? {} : { annotations: plan.annotations }),
  };
}

/** The process of an exec: the container's, with other arguments and no terminal unless asked for. */
export function execProcess(init: OciProcess, args: readonly string[], terminal: boolean): OciProcess {
  return { ...init, args, terminal };
}
