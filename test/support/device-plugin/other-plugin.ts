/** A plugin as KubeVirt's, in its place: it offers the same resource at the same socket, and gives a container nothing. */
import { rm } from "node:fs/promises";
import { createServer, type Server as Listener } from "node:net";
import { join } from "node:path";
import { credentials, Metadata, Server, ServerCredentials, type ServiceError } from "@grpc/grpc-js";
import {
  DevicePluginService,
  RegistrationClient,
  type DevicePluginServer,
} from "../../../src/gen/deviceplugin/v1beta1/deviceplugin.js";

const socketName = "kubevirt-kvm.sock";

export class OtherPlugin {
  readonly #directory: string;
  readonly #server = new Server();
  #listener: Listener | undefined;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** It listens; it is registered once `register` has been called. */
  static async listen(directory: string, count = 3): Promise<OtherPlugin> {
    const plugin = new OtherPlugin(directory);
    await plugin.#listen(count);
    return plugin;
  }

  async register(): Promise<void> {
    const client = new RegistrationClient(
      `unix:${join(this.#directory, "kubelet.sock")}`,
      credentials.createInsecure(),
    );
    const request = {
      version: "v1beta1",
      endpoint: socketName,
      resourceName: "devices.kubevirt.io/kvm",
      options: undefined,
    };
    try {
      await new Promise<void>((resolve, reject) => {
        const done = (error: ServiceError | null): void => {
          if (error === null) resolve();
          else reject(error);
        };
        client.register(request, new Metadata(), { deadline: Date.now() + 30_000 }, done);
      });
    } finally {
      client.close();
    }
  }

  async stop(): Promise<void> {
    this.#listener?.close();
    this.#server.forceShutdown();
    await rm(join(this.#directory, socketName), { force: true });
  }

  async #listen(count: number): Promise<void> {
    const devices = Array.from({ length: count }, (_, index) => ({ id: `other-${String(index)}`, health: "Healthy" }));
    const implementation: DevicePluginServer = {
      getDevicePluginOptions: (_call, reply) => {
        reply(null, { preStartRequired: false, getPreferredAllocationAvailable: false });
      },
      listAndWatch: (call) => {
        call.on("error", () => undefined);
        call.write({ devices });
      },
      getPreferredAllocation: (_call, reply) => {
        reply(null, { containerResponses: [] });
      },
      allocate: ({ request }, reply) => {
        const nothing = { envs: {}, mounts: [], devices: [], annotations: {} };
        reply(null, { containerResponses: request.containerRequests.map(() => nothing) });
      },
      preStartContainer: (_call, reply) => {
        reply(null, {});
      },
    };
    this.#server.addService(DevicePluginService, implementation);
    const entry = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    const listener = createServer((socket) => {
      entry.injectConnection(socket);
    });
    await new Promise<void>((resolve) => {
      listener.listen(join(this.#directory, socketName), resolve);
    });
    this.#listener = listener;
  }
}
