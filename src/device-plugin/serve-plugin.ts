/** A device plugin's own socket in kubelet's directory, and what is served there. */
import { lstat } from "node:fs/promises";
import { createServer } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { codeOf, isNotFound, RuntimeError } from "../base/errors.js";
import { listenOnUnixSocket } from "../base/unix-socket.js";
import { DevicePluginService } from "../gen/deviceplugin/v1beta1/deviceplugin.js";
import type { PluginService } from "./plugin-service.js";

/** kubelet is root. */
const socketMode = 0o600;
const longestMessage = 1024 * 1024;

export interface ServedPlugin {
  /** False once somebody has taken the socket's file away: kubelet does at its start. */
  isThere(): Promise<boolean>;
  /** Ends what is served, and who watches. */
  close(): void;
}

/** `alreadyExists` where another process serves it. */
export async function servePlugin(path: string, service: PluginService): Promise<ServedPlugin> {
  const server = new Server({
    "grpc.max_receive_message_length": longestMessage,
    "grpc.max_send_message_length": longestMessage,
  });
  server.addService(DevicePluginService, service.implementation);
  const entry = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = createServer((socket) => {
    entry.injectConnection(socket);
  });
  try {
    await listenOnUnixSocket(listener, path, socketMode);
  } catch (thrown) {
    server.forceShutdown();
    if (codeOf(thrown) !== "alreadyExists") throw thrown;
    throw new RuntimeError("alreadyExists", `another process serves ${path}`, {
      hint: "one daemon of a node has device_plugin.enabled",
      cause: thrown,
    });
  }
  listener.on("error", () => undefined); // a connection that could not be taken: kubelet tries again
  const own = await identityOf(path);
  return {
    isThere: async () => own !== undefined && (await identityOf(path)) === own,
    close: () => {
      listener.close();
      server.forceShutdown();
    },
  };
}

/** Of a file, until another is in its place; undefined where none is. */
export async function identityOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, ctimeNs } = await lstat(path, { bigint: true });
    return `${String(dev)}:${String(ino)}:${String(ctimeNs)}`;
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}
