/** Services of gRPC on a port of the loopback, as the one port has them: the tenant says who it is in `x-tenant`. */
import { Metadata, Server, ServerCredentials } from "@grpc/grpc-js";
import { RuntimeError } from "../../../src/base/errors.js";
import type { GrpcProtocol, WhoCalls } from "../../../src/sandboxes/listen/protocol.js";

export interface GrpcPort {
  readonly address: string;
  close(): void;
}

const who: WhoCalls = {
  caller: ({ metadata }) => {
    const [tenant] = metadata.get("x-tenant");
    if (typeof tenant !== "string") throw new RuntimeError("unauthenticated", "who calls?");
    return { tenant, name: `token ${tenant}` };
  },
  sandbox: ({ metadata }) => {
    const [id] = metadata.get("x-sandbox-id");
    return typeof id === "string" ? id : undefined;
  },
};

export async function openGrpcPort(protocols: readonly GrpcProtocol[]): Promise<GrpcPort> {
  const server = new Server({ "grpc.max_send_message_length": 16 * 1024 * 1024 });
  for (const protocol of protocols) server.addService(protocol.service, protocol.implementation(who));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    address: `127.0.0.1:${String(port)}`,
    close: () => {
      server.forceShutdown();
    },
  };
}

export function metadataOf(tenant: string, sandbox?: string): Metadata {
  const metadata = new Metadata();
  metadata.set("x-tenant", tenant);
  if (sandbox !== undefined) metadata.set("x-sandbox-id", sandbox);
  return metadata;
}
