import type { Socket } from "node:net";
import { spokenIn, type Spoken } from "./first-bytes.js";

/**
 * What is spoken on a connection; its bytes are put back, and it is paused. Undefined: it has been closed, or has not said
 * enough by the limit and is closed now.
 */
export async function peek(socket: Socket, limitMs: number): Promise<Spoken | "silent" | undefined> {
  return await new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const settle = (spoken: Spoken | "silent" | undefined): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("end", onEnd).off("close", onEnd);
      resolve(spoken);
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      const all = chunks.length === 1 ? chunk : Buffer.concat(chunks);
      const spoken = spokenIn(all);
      if (spoken === undefined) return;
      socket.pause();
      socket.unshift(all);
      settle(spoken);
    };
    const onEnd = (): void => {
      socket.destroy();
      settle(undefined);
    };
    const timer = setTimeout(() => {
      socket.destroy();
      settle("silent");
    }, limitMs);
    socket.on("data", onData).once("end", onEnd).once("close", onEnd);
    socket.resume();
  });
}
