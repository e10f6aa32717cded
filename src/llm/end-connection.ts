import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { errorText } from "./refusal.js";

const lingerMs = 1000;

/** Where there is no answer to write to: the connection has spoken no HTTP yet, or another protocol. */
export function endWith(socket: Duplex, status: number, words: string): void {
  const text = errorText(status, words);
  const head = [
    `HTTP/1.1 ${String(status)} Refused`,
    "content-type: application/json",
    `content-length: ${String(Buffer.byteLength(text))}`,
    "connection: close",
  ];
  socket.on("error", () => undefined);
  socket.end(`${head.join("\r\n")}\r\n\r\n${text}`, () => {
    socket.destroy();
  });
}

/** Its client still sends what was refused: it may read why, and is cut then. */
export function endLater({ socket }: IncomingMessage, response: ServerResponse): void {
  response.once("finish", () => {
    setTimeout(() => socket.destroy(), lingerMs).unref();
  });
}
