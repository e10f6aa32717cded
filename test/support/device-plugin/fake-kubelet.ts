/** kubelet's end of the contract with device plugins, of our own, for what a real one does not do when it is asked to. */
import { rm, readdir } from "node:fs/promises";
import { createServer, type Server as Listener } from "node:net";
import { join } from "node:path";
import { credentials, Metadata, Server, ServerCredentials, status, type ClientReadableStream } from "@grpc/grpc-js";
import {
  DevicePluginClient,
  RegistrationService,
  type AllocateResponse,
  type Device,
  type ListAndWatchResponse,
  type RegisterRequest,
  type RegistrationServer,
} from "../../../src/gen/deviceplugin/v1beta1/deviceplugin.js";

/** What becomes of a registration: taken up, never answered, refused, or answered and then forgotten. */
type Manner = "takes" | "hangs" | "refuses" | "forgets";

interface Connection {
  readonly client: DevicePluginClient;
  readonly stream: ClientReadableStream<ListAndWatchResponse>;
  /** What came, the newest last. */
  readonly lists: Device[][];
  ended: boolean;
}

export class FakeKubelet {
  manner: Manner = "takes";
  readonly registrations: RegisterRequest[] = [];
  readonly connections: Connection[] = [];
  readonly #directory: string;
  #server: Server | undefined;
  #listener: Listener | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** As kubelet starts: the directory is emptied, then it listens. */
  async start(): Promise<void> {
    for (const name of await readdir(this.#directory)) await rm(join(this.#directory, name), { force: true });
    const server = new Server();
    const registration: RegistrationServer = {
      register: (call, reply) => {
        this.registrations.push(call.request);
        if (this.manner === "hangs") return;
        if (this.manner === "refuses") {
          reply({ code: status.INVALID_ARGUMENT, details: "the name is not one" });
          return;
        }
        if (this.manner === "takes") this.#connect(call.request.endpoint);
        reply(null, {});
      },
    };
    server.addService(RegistrationService, registration);
    const entry = server.createConnectionInjector(ServerCredentials.createInsecure());
    const listener = createServer((socket) => {
      entry.injectConnection(socket);
    });
    await new Promise<void>((resolve) => {
      listener.listen(join(this.#directory, "kubelet.sock"), resolve);
    });
    this.#server = server;
    this.#listener = listener;
  }

  get newest(): Connection {
    const newest = this.connections.at(-1);
    if (newest === undefined) throw new Error("nobody has registered");
    return newest;
  }

  /** Of the newest list: how many places are of that health. */
  count(health: string): number {
    return (this.newest.lists.at(-1) ?? []).filter((device) => device.health === health).length;
  }

  async allocate(ids: readonly string[]): Promise<AllocateResponse> {
    const request = { containerRequests: [{ deviceIds: [...ids] }] };
    return await new Promise((resolve, reject) => {
      this.newest.client.allocate(request, new Metadata(), { deadline: Date.now() + 10_000 }, (error, answer) => {
        if (error === null) resolve(answer);
        else reject(error);
      });
    });
  }

  /** As kubelet ends: its connections go. Its socket stays, as that of a kubelet that was killed. */
  stop(): void {
    this.hangUp();
    this.#server?.forceShutdown();
    this.#listener?.close();
  }

  hangUp(): void {
    for (const { client, stream } of this.connections) {
      stream.cancel();
      client.close();
    }
  }

  #connect(endpoint: string): void {
    const client = new DevicePluginClient(`unix:${join(this.#directory, endpoint)}`, credentials.createInsecure());
    const stream = client.listAndWatch({});
    const connection: Connection = { client, stream, lists: [], ended: false };
    stream.on("data", ({ devices }: ListAndWatchResponse) => connection.lists.push(devices));
    stream.on("error", () => undefined);
    stream.on("end", () => (connection.ended = true));
    stream.on("close", () => (connection.ended = true));
    this.connections.push(connection);
  }
}
