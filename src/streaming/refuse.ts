import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

/** Answers a request that can't be upgraded, and closes. kubelet shows the text to the user. */
export function refuse(
  socket: Duplex,
  code: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = `${text}\n`;
  const lines = [
    `HTTP/1.1 ${String(code)} ${STATUS_CODES[code] ?? ""}`,
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${String(Buffer.byteLength(body))}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`, () => {
    socket.destroy();
  });
}
