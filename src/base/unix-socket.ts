/** A Unix socket that is listened on: made closed, and taken over from a daemon that is gone. */
import { chmod, lstat, mkdir, rm } from "node:fs/promises";
import { createConnection, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { errnoOf, isNotFound, messageOf, RuntimeError } from "./errors.js";

/**
 * Makes the server listen there, with its directory. The socket has its mode from the first moment: nobody else can connect
 * before it is changed. `alreadyExists` when somebody answers there, or where it is something else.
 */
export async function listenOnUnixSocket(server: Server, path: string, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  await removeStaleSocket(path);
  await bind(server, path, mode);
  await chmod(path, mode);
}

/** Of a connection, where it has not gone already. Node tells it nowhere else. */
export function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}

async function bind(server: Server, path: string, mode: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      reject(new RuntimeError("unavailable", messageOf(error), { stage: `listen on ${path}`, cause: error }));
    });
    // It is made before `listen` returns: the mask is back before anybody else has a turn.
    const before = process.umask(0o777 & ~mode);
    try {
      server.listen(path, resolve);
    } finally {
      process.umask(before);
    }
  });
}

/** A socket that an earlier daemon has left is removed; one where somebody answers is not ours to take. */
async function removeStaleSocket(path: string): Promise<void> {
  try {
    if (!(await lstat(path)).isSocket()) {
      throw new RuntimeError("alreadyExists", `${path} is not a socket`, { hint: "remove it, or set listen" });
    }
  } catch (thrown) {
    if (isNotFound(thrown)) return;
    throw thrown;
  }
  if (await someoneAnswers(path)) {
    throw new RuntimeError("alreadyExists", `another process serves ${path}`, { hint: "stop it, or set listen" });
  }
  await rm(path, { force: true });
}

/** Whether somebody listens there. False where nothing is; who only hangs is there. */
export function someoneAnswers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const connection = createConnection(path);
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", (error) => {
      if (errnoOf(error) === "ECONNREFUSED" || isNotFound(error)) resolve(false);
      else reject(error);
    });
  });
}
