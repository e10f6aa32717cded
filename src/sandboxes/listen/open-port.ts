/**
 * The one port of the agents' edge (docs/adr/0107): listeners of several kinds, each with every protocol on it. Who calls is
 * known before what is asked, and what is spoken is told by the first bytes.
 */
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { listenOnUnixSocket } from "../../base/unix-socket.js";
import { isLoopback, shownUrl, type ListenUrl } from "../../config/listen-url.js";
import { Door, type DoorListener } from "./door.js";
import { listenOnVsock } from "./listen-on-vsock.js";
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
  const servers: Listening[] = [];
  const close = async (graceMs: number): Promise<void> => {
    for (const { stop } of servers) stop(); // those that are connected go on
    await door.close(graceMs);
    for (const { path } of servers) if (path !== undefined) await rm(path, { force: true });
  };
  try {
    for (const url of config.listen) {
      const welcome = (socket: Socket, listener: DoorListener): void => {
        void door.welcome(socket, listener);
      };
      servers.push(url.kind === "vsock" ? listenOnVsock(url, options, welcome) : await listen(url, options, welcome));
    }
  } catch (thrown) {
    await close(0);
    throw thrown;
  }
  const urls = servers.map(({ url }) => url);
  if (urls.length > 0) log.info({ urls }, "sandboxes");
  return { urls, close };
}

interface Listening {
  readonly url: string;
  /** Of a Unix socket. */
  readonly path?: string;
  readonly stop: () => void;
}

type Welcome = (socket: Socket, listener: DoorListener) => void;

async function listen(
  url: Exclude<ListenUrl, { kind: "vsock" }>,
  { config, log }: SandboxPortOptions,
  welcome: Welcome,
): Promise<Listening> {
  const listener: DoorListener =
    url.kind === "unix" ? { kind: "unix", loopback: true } : { kind: "tcp", loopback: isLoopback(url.host) };
  // A client of HTTP/1.1 may end its side after its request.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    welcome(socket, listener);
  });
  if (url.kind === "unix") await listenOnUnixSocket(server, url.path, config.socketMode);
  else await listenOnTcp(server, url);
  server.on("error", (error) => {
    log.warn({ listen: shownUrl(url), err: messageOf(error) }, "could not take a client's connection");
  });
  const stop = (): void => {
    server.close();
  };
  if (url.kind === "unix") return { url: shownUrl(url), path: url.path, stop };
  return { url: shownUrl({ ...url, port: portOf(server) }), stop };
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
