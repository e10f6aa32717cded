/** A client of ACP by WebSocket, as editors have one: knows nothing of us but what pings say. */
import { once } from "node:events";
import WebSocket, { type ClientOptions } from "ws";
import { eventually } from "../wait.js";
import { acpConversation, messageIn, type AcpConversation, type Message } from "./acp-conversation.js";

export interface AcpClient extends AcpConversation {
  readonly socket: WebSocket;
  readonly process: number;
  /** What the last ping has said, and the messages since. */
  readonly offset: () => number;
  /** Code and reason. */
  closed(): Promise<readonly [number, string]>;
}

export async function acpClient(url: string, options: ClientOptions = {}): Promise<AcpClient> {
  const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 1 << 25, ...options });
  const messages: Message[] = [];
  let [offset, since, process] = [0, 0, 0];
  let end: readonly [number, string] | undefined;
  socket.on("message", (data) => {
    if (!Buffer.isBuffer(data)) return;
    since += data.length + 1; // a line each: the ping after it may not come any more
    const message = messageIn(data.toString("utf8"));
    if (message !== undefined) messages.push(message);
  });
  socket.on("ping", (data) => {
    if (data.length > 0) [offset, since] = [Number(data.toString()), 0];
  });
  socket.on("upgrade", ({ headers }) => {
    process = Number(headers["x-a3s-process"]);
  });
  socket.on("close", (code, reason) => {
    end = [code, reason.toString()];
  });
  socket.on("error", () => undefined);
  await Promise.race([
    once(socket, "open"),
    new Promise((_resolve, reject) => {
      socket.once("unexpected-response", (_request, response) => {
        response.setEncoding("utf8");
        let body = "";
        response.on("data", (text: string) => (body += text));
        response.on("end", () => {
          reject(new Error(`${String(response.statusCode)} ${body.trim()}`));
        });
      });
    }),
  ]);
  const put = (text: string): void => {
    socket.send(text);
  };
  return {
    ...acpConversation(put, messages, () => end),
    ...{ socket, process, offset: () => offset + since },
    closed: () => eventually("the end of the connection", 20_000, () => end),
  };
}
