import { createServer, type Server, type Socket } from "node:net";
import { RuntimeError } from "../../../base/errors.js";

/** "READY" and a newline is what the agent says; a guest that says much more is not listened to. */
const longestLineBytes = 64;

/**
 * Listens where the guest connects to when its agent serves (vsock port 1026, which libkrun leads to this socket).
 * Must listen before the VM starts: a guest that finds nobody does not come again. Closes itself.
 */
export async function listenForReady(path: string, signal: AbortSignal): Promise<{ readonly ready: Promise<void> }> {
  const server = createServer();
  const ready = firstLine(server, signal);
  ready.catch(() => undefined); // who waits for it sees it
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return { ready };
}

async function firstLine(server: Server, signal: AbortSignal): Promise<void> {
  const sockets = new Set<Socket>();
  const stop: { onAbort: () => void } = { onAbort: () => undefined };
  try {
    await new Promise<void>((resolve, reject) => {
      stop.onAbort = () => {
        reject(new RuntimeError("canceled", "the boot is over"));
      };
      signal.addEventListener("abort", stop.onAbort, { once: true });
      if (signal.aborted) stop.onAbort();
      server.on("connection", (socket) => {
        sockets.add(socket);
        let heardBytes = 0;
        socket.on("error", () => undefined);
        socket.on("close", () => sockets.delete(socket));
        socket.on("data", (data: Buffer) => {
          heardBytes += data.length;
          if (data.includes(0x0a)) resolve();
          else if (heardBytes > longestLineBytes) socket.destroy();
        });
      });
    });
  } finally {
    signal.removeEventListener("abort", stop.onAbort);
    server.close();
    for (const socket of sockets) socket.destroy();
  }
}
