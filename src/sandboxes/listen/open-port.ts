/**
 * The one port of the agents' edge (docs/adr/0107): listeners of several kinds, each with every protocol on it. Who calls is
 * known before what is asked, and what is spoken is told by the first bytes.
 */
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { listenOnUnixSocket } from "../../base/unix-socket.js";
import { isLoopback, shownUrl } from "../../config/listen-url.js";
import type { SandboxPortConfig } from "../../config/sandboxes-listen.js";
import { Door, type DoorListener } from "./door.js";
import type { SandboxPortOptions } from "./options.js";

export interface SandboxPort {
  /** "tcp://127.0.0.1:4088", as it is listened on; none where the configuration has none. */
  readonly urls: readonly string[];
  /** Takes nobody new; who is served may end within `graceMs`, and is cut off then. */
  close(graceMs: number): Promise<void>;
}

/** Errors: `unavailable` or `alreadyExists` where it can't listen, `invalidArgument` for certificates that can't be used. */
export async function openSandboxPort(options: SandboxPortOptions): Promise<SandboxPort> {
  const { config, log } = options;
  const door = await Door.open(options);
  const servers: { readonly server: Server; readonly url: string; readonly path: string | undefined }[] = [];
  const close = async (graceMs: number): Promise<void> => {
    for (const { server } of servers) server.close(); // those that are connected go on
    await door.close(graceMs);
    for (const { path } of servers) if (path !== undefined) await rm(path, { force: true });
  };
  try {
    for (const url of config.listen) {
      const server = await listen(url, config.socketMode, (socket, listener) => {
        void door.welcome(socket, listener);
      });
      server.on("error", (error) => {
        log.warn({ listen: shownUrl(url), err: messageOf(error) }, "could not take a client's connection");
      });
      const path = url.kind === "unix" ? url.path : undefined;
      servers.push({ server, url: shownUrl(url.kind === "unix" ? url : { ...url, port: portOf(server) }), path });
    }
  } catch (thrown) {
    await close(0);
    throw thrown;
  }
  const urls = servers.map(({ url }) => url);
  if (urls.length > 0) log.info({ urls }, "sandboxes");
  return { urls, close };
}

async function listen(
  url: SandboxPortConfig["listen"][number],
  mode: number,
  welcome: (socket: Socket, listener: DoorListener) => void,
): Promise<Server> {
  const listener: DoorListener =
    url.kind === "unix" ? { kind: "unix", loopback: true } : { kind: "tcp", loopback: isLoopback(url.host) };
  // A client of HTTP/1.1 may end its side after its request.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    welcome(socket, listener);
  });
  if (url.kind === "unix") await listenOnUnixSocket(server, url.path, mode);
  else await listenOnTcp(server, url);
  return server;
}

async function listenOnTcp(server: Server, url: { readonly host: string; readonly port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const stage = `listen on ${shownUrl({ kind: "tcp", ...url })}`;
      reject(new RuntimeError("unavailable", cause.message, { stage, hint: "set sandboxes.listen", cause }));
    });
    server.listen({ host: url.host, port: url.port }, resolve);
  });
}

function portOf(server: Server): number {
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : 0;
}
