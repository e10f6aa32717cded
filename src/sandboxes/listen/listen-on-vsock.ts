/** The port on the vsock: libuv knows no such sockets, so that the addon joins each connection with one that it knows. */
import { Socket } from "node:net";
import { errnoOf, messageOf, RuntimeError } from "../../base/errors.js";
import { shownUrl } from "../../config/listen-url.js";
import type { DoorListener } from "./door.js";
import type { SandboxPortOptions } from "./options.js";

/** Who has no room is told so by the door, which has to see them for that. */
const atTheDoor = 64;

export function listenOnVsock(
  url: { readonly kind: "vsock"; readonly port: number },
  { config, native }: Pick<SandboxPortOptions, "config" | "native">,
  welcome: (socket: Socket, listener: DoorListener) => void,
): { readonly url: string; readonly stop: () => void } {
  try {
    const bound = native.bindVsock(url.port);
    const { close } = native.joinAccepted(bound, config.maxConnections + atTheDoor, (fd, cid) => {
      const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
      welcome(socket, { kind: "vsock", loopback: true, source: `vsock ${String(cid)}` });
    });
    return { url: shownUrl(url), stop: close };
  } catch (cause) {
    const none = ["EAFNOSUPPORT", "ENODEV"].includes(errnoOf(cause) ?? "");
    throw new RuntimeError("unavailable", messageOf(cause), {
      stage: `listen on ${shownUrl(url)}`,
      hint: none
        ? "this kernel has no vsock: load vhost_vsock, or leave it out of sandboxes.listen"
        : "set sandboxes.listen",
      cause,
    });
  }
}
