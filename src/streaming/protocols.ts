/**
 * The protocols spoken over an upgraded connection.
 * Source: k8s.io/cri-streaming pkg/streaming/{remotecommand,portforward}, k8s.io/streaming pkg/httpstream/wsstream.
 */

/** What a version of the command protocol can: from 3 on resize, from 4 on a JSON status, 5 closes single channels. */
export type CommandVersion = 1 | 2 | 3 | 4 | 5;

export interface WebSocketProtocol {
  readonly version: CommandVersion;
  readonly encoding: "binary" | "base64";
}

export const spdyCommandProtocols: ReadonlyMap<string, CommandVersion> = new Map<string, CommandVersion>([
  ["v4.channel.k8s.io", 4],
  ["v3.channel.k8s.io", 3],
  ["v2.channel.k8s.io", 2],
  ["channel.k8s.io", 1],
]);

export const portForwardProtocol = "portforward.k8s.io";
/** SPDY whose bytes travel in binary messages of a WebSocket. */
export const tunnelProtocol = "SPDY/3.1+portforward.k8s.io";

const channels = new Map<string, WebSocketProtocol>([
  ["", { version: 1, encoding: "binary" }],
  ["channel.k8s.io", { version: 1, encoding: "binary" }],
  ["base64.channel.k8s.io", { version: 1, encoding: "base64" }],
  ["v4.channel.k8s.io", { version: 4, encoding: "binary" }],
  ["v4.base64.channel.k8s.io", { version: 4, encoding: "base64" }],
]);

export const webSocketForwardProtocols: ReadonlyMap<string, WebSocketProtocol> = channels;
export const webSocketCommandProtocols: ReadonlyMap<string, WebSocketProtocol> = new Map<string, WebSocketProtocol>([
  ...channels,
  ["v5.channel.k8s.io", { version: 5, encoding: "binary" }],
]);

/** The first of the client's that is known; the order is its preference. */
export function negotiate(offered: readonly string[], known: readonly string[]): string | undefined {
  return offered.find((protocol) => known.includes(protocol));
}

/** Values of a header that may be repeated or hold a list. */
export function listed(header: string | undefined): string[] {
  return (header ?? "")
    .split(",")
    .map((value) => value.trim())
    .filter((value) => value !== "");
}
