/**
 * CRI container config to OCI runtime spec, in two steps: `planSpec` checks the whole request and decides everything
 * that doesn't need a place in the share, `finishSpec` puts the paths in. Both are pure.
 */
import { RuntimeError } from "../../base/errors.js";
import { MountPropagation, type ContainerConfig, type UserNamespace } from "../../gen/runtime/v1/api.js";
import type { ImageConfig } from "../../image/image-store.js";
import { capabilities } from "./capabilities.js";
import { allMounts, checkMount, type MountTraits, type PlacedMount } from "./mounts.js";
import type { OciLinux, OciProcess, OciSpec } from "./oci.js";
import { processArgs, processEnv, workingFolder } from "./process.js";
import { oomScoreAdj } from "./resources.js";
import type { SpecRules } from "./rules.js";
import { checkSecurity } from "./security.js";
import { stopSignal, type StopSignal } from "./signals.js";
import { checkUserNamespace, ociMapping } from "./user-namespace.js";
import { resolveUser, type UserDatabase } from "./user.js";

export interface SpecInput {
  /** The container's id: name of its cgroup. */
  readonly id: string;
  readonly config: ContainerConfig;
  readonly image: ImageConfig;
  readonly database: UserDatabase;
  readonly sandbox: {
    readonly hostname: string;
    readonly privileged: boolean;
    /** The pod's; undefined: none of its own. */
    readonly userns?: UserNamespace | undefined;
  };
  /** Init of the container whose PID namespace is joined, for NamespaceMode.TARGET. */
  readonly targetPid: number | undefined;
  readonly rules: SpecRules;
}

export interface SpecPlan {
  readonly process: OciProcess;
  readonly linux: OciLinux;
  readonly annotations: Readonly<Record<string, string>>;
  readonly mountTraits: MountTraits;
  readonly stopSignal: StopSignal;
}

/** Soft and hard limit of open files: what systemd gives services, high enough to raise, low enough to close in a loop. */
const openFiles = { type: "RLIMIT_NOFILE", soft: 1024, hard: 524_288 };

export function planSpec(input: SpecInput): SpecPlan {
  const { config, image, rules } = input;
  const security = config.linux?.securityContext;
  checkSecurity(security, input.sandbox.privileged, rules);
  checkUserNamespace(config, input.sandbox.userns, rules);
  rules.checkDevices(config);
  config.mounts.forEach((mount, index) => {
    checkMount(mount, index, rules);
  });
  if (config.tty && config.stdinOnce && !config.stdin) {
    throw new RuntimeError("invalidArgument", "stdin_once is set without stdin");
  }
  const user = resolveUser(security, image.user, input.database);
  const privileged = security?.privileged === true;
  const adjustment = oomScoreAdj(config.linux?.resources);
  return {
    process: {
      terminal: config.tty,
      user: user.oci,
      args: processArgs(config, image),
      env: processEnv(config, image, {
        hostname: input.sandbox.hostname,
        home: user.home,
        terminal: config.tty,
      }),
      cwd: workingFolder(config, image),
      capabilities: capabilities(security),
      rlimits: [openFiles],
      noNewPrivileges: security?.noNewPrivs === true,
      ...(adjustment === undefined ? {} : { oomScoreAdj: adjustment }),
    },
    linux: linuxOf(input, privileged),
    annotations: rules.annotations(security),
    mountTraits: { privileged, readonlyRootfs: security?.readonlyRootfs === true },
    stopSignal: stopSignal(config.stopSignal, image.stopSignal),
  };
}

function linuxOf(input: SpecInput, privileged: boolean): OciLinux {
  const { config, rules } = input;
  const security = config.linux?.securityContext;
  const devices = rules.devices(privileged);
  const propagation = rootPropagation(config);
  return {
    ...namespacesOf(input),
    resources: { ...rules.resources(config.linux?.resources), devices: rules.deviceRules(privileged) },
    maskedPaths: privileged ? [] : (security?.maskedPaths ?? []),
    readonlyPaths: privileged ? [] : (security?.readonlyPaths ?? []),
    ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
    ...(devices.length === 0 ? {} : { devices }),
  };
}

/** The root must let through what one of its mounts is to get, or to give. */
function rootPropagation({ mounts }: ContainerConfig): string | undefined {
  const wanted = new Set(mounts.map(({ propagation }) => propagation));
  if (wanted.has(MountPropagation.PROPAGATION_BIDIRECTIONAL)) return "rshared";
  return wanted.has(MountPropagation.PROPAGATION_HOST_TO_CONTAINER) ? "rslave" : undefined;
}

function namespacesOf({
  config,
  rules,
  sandbox,
  targetPid,
}: SpecInput): Pick<OciLinux, "namespaces" | "uidMappings" | "gidMappings"> {
  const usual = rules.namespaces(config.linux?.securityContext, targetPid);
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
