import { stage } from "../../../base/stage.js";
import type { Native } from "../../../native/addon.js";
import type { BoxSpec, IdMapping } from "../../box.js";
import { spawnProgram, type Driver, type StartRequest, type StartedVm } from "../driver.js";
import { waitForSocket } from "../wait-for-socket.js";
import type { RuncFeatures } from "./runc-features.js";

export interface NativePrograms {
  /** Absolute paths. */
  readonly agent: string;
  readonly runc: string;
  /** What `runc` can do. */
  readonly features: RuncFeatures;
  readonly idMapping: IdMapping;
}

const startLimitMs = 20_000;

/** Pods of the host: the agent is a process of it, one for each pod, and makes containers with runc. */
export class NativeDriver implements Driver {
  readonly name = "native";
  readonly entersUserNamespace = false;
  readonly groups = "parent";
  readonly idMapping: IdMapping;
  readonly mountsRecursiveReadOnly: boolean;
  readonly #native: Native;
  readonly #programs: NativePrograms;

  constructor(native: Native, programs: NativePrograms) {
    this.#native = native;
    this.#programs = programs;
    this.idMapping = programs.idMapping;
    this.mountsRecursiveReadOnly = programs.features.mountOptions.includes("rro");
  }

  async start(request: StartRequest, signal: AbortSignal): Promise<StartedVm> {
    const { cgroup, directory, spec } = request;
    const { agent, runc } = this.#programs;
    return await stage("start agent", startLimitMs, signal, async () => {
      const own = ownNamespaces(spec);
      const users = spec.idMap === undefined ? [] : ["--users", "of-network"];
      const options = ["--runc", runc, "--cgroup", cgroup.path, ...(own === "" ? [] : ["--new", own]), ...users];
      const program = {
        file: agent,
        args: ["agent", "host", directory.agentSocket, ...options],
        log: directory.agentLog,
        netns: spec.netnsPath,
        ownPidNamespace: false,
        isAgent: true,
      };
      await request.started("agent", await spawnProgram(this.#native, request, program));
      return { dialable: waitForSocket(directory.agentSocket, signal) };
    });
  }
}

/** Those that the agent makes for itself. With the host's network a pod has the host's name too, as kubelet expects. */
function ownNamespaces({ hostNamespaces = [] }: BoxSpec): string {
  const ipc = hostNamespaces.includes("ipc") ? [] : ["ipc"];
  const uts = hostNamespaces.includes("network") ? [] : ["uts"];
  return [...ipc, ...uts].join(",");
}
