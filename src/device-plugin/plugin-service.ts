import type { sendUnaryData, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import { RuntimeError } from "../base/errors.js";
import type {
  AllocateRequest,
  AllocateResponse,
  ContainerAllocateResponse,
  DevicePluginServer,
  Empty,
  ListAndWatchResponse,
} from "../gen/deviceplugin/v1beta1/deviceplugin.js";
import { toStatus } from "../grpc/status.js";
import type { Verdict } from "./kvm-health.js";
import { resourceName } from "./resource.js";

export interface ServiceOptions {
  readonly ids: readonly string[];
  readonly verdict: () => Verdict;
  /** Paths of this node that a container gets; asked for each. */
  readonly devices: () => Promise<readonly string[]>;
  /** Containers that have got them. */
  readonly allocated: (containers: number) => void;
  /** Somebody watches now. */
  readonly watched: () => void;
  /** Nobody watches any more: kubelet has gone. */
  readonly left: () => void;
}

type Watcher = ServerWritableStream<Empty, ListAndWatchResponse>;

/** What kubelet asks a device plugin. */
export class PluginService {
  readonly #options: ServiceOptions;
  readonly #known: ReadonlySet<string>;
  readonly #watchers = new Set<Watcher>();

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.#known = new Set(options.ids);
  }

  /** Tells who watches how the devices are now. */
  tell(): void {
    const list = this.#list();
    for (const watcher of this.#watchers) watcher.write(list);
  }

  get implementation(): DevicePluginServer {
    return {
      getDevicePluginOptions: (_call, reply) => {
        reply(null, { preStartRequired: false, getPreferredAllocationAvailable: false });
      },
      listAndWatch: (call) => {
        this.#watch(call);
      },
      getPreferredAllocation: (_call, reply) => {
        reply(toStatus(new RuntimeError("unimplemented", "all places are alike"))); // and the options say so
      },
      allocate: (call, reply) => {
        void this.#reply(call, reply);
      },
      preStartContainer: (_call, reply) => {
        reply(null, {});
      },
    };
  }

  #watch(watcher: Watcher): void {
    this.#watchers.add(watcher);
    watcher.on("close", () => {
      if (this.#watchers.delete(watcher) && this.#watchers.size === 0) this.#options.left();
    });
    watcher.on("error", () => undefined); // its end is told above
    watcher.write(this.#list());
    this.#options.watched();
  }

  #list(): ListAndWatchResponse {
    const health = this.#options.verdict().usable ? "Healthy" : "Unhealthy";
    return { devices: this.#options.ids.map((id) => ({ id, health })) };
  }

  async #reply(
    { request }: ServerUnaryCall<AllocateRequest, AllocateResponse>,
    reply: sendUnaryData<AllocateResponse>,
  ): Promise<void> {
    try {
      reply(null, await this.#allocate(request));
    } catch (thrown) {
      reply(toStatus(thrown));
    }
  }

  async #allocate({ containerRequests }: AllocateRequest): Promise<AllocateResponse> {
    const unknown = containerRequests.flatMap(({ deviceIds }) => deviceIds.filter((id) => !this.#known.has(id)));
    if (unknown.length > 0) {
      const shown = JSON.stringify(unknown[0]?.slice(0, 64));
      throw new RuntimeError("invalidArgument", `${shown} is no device of ${resourceName}`);
    }
    const { usable, reason } = this.#options.verdict();
    if (!usable) {
      throw new RuntimeError("failedPrecondition", `no guest runs by KVM here: ${reason}`, {
        hint: "a3s-box-cri-runtime check on the node says what to do",
      });
    }
    const devices = (await this.#options.devices()).map((path) => ({
      containerPath: path,
      hostPath: path,
      permissions: "rw",
    }));
    const answer: ContainerAllocateResponse = { envs: {}, mounts: [], devices, annotations: {} };
    this.#options.allocated(containerRequests.length);
    return { containerResponses: containerRequests.map(() => answer) };
  }
}
