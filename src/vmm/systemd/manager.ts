import { createConnection, type Socket } from "node:net";
import { RuntimeError, messageOf } from "../../base/errors.js";
import { decodeMessage, encodeCall, type DbusCall, type DbusReply } from "./dbus-message.js";

/** The system's bus, and where there is none the manager's own socket, which systemctl uses too. For root both do. */
export const managerSockets = ["/run/dbus/system_bus_socket", "/run/systemd/private"] as const;

const managerName = "org.freedesktop.systemd1";
const hello: DbusCall = {
  ...{ destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" },
  ...{ member: "Hello", signature: "", body: () => undefined },
};

/** What systemd said no with. */
export class ManagerRefusal extends Error {
  /** "org.freedesktop.systemd1.UnitExists" */
  readonly errorName: string;

  constructor(errorName: string, message: string) {
    super(message === "" ? errorName : message);
    this.errorName = errorName;
  }
}

/** Calls a method of systemd's manager object, over a connection of its own. */
export async function callManager(
  call: Pick<DbusCall, "member" | "signature" | "body">,
  signal: AbortSignal,
  sockets: readonly string[] = managerSockets,
): Promise<void> {
  const whole = {
    ...call,
    destination: managerName,
    path: "/org/freedesktop/systemd1",
    interface: `${managerName}.Manager`,
  };
  const failures: string[] = [];
  for (const [index, path] of sockets.entries()) {
    const socket = await connected(path, signal).catch((thrown: unknown) => {
      failures.push(`${path}: ${messageOf(thrown)}`);
    });
    if (socket === undefined) continue;
    try {
      const conversation = new Conversation(socket);
      await conversation.authenticate();
      if (index < sockets.length - 1) await conversation.call(hello); // a bus; the manager's own socket is none
      await conversation.call(whole);
      return;
    } finally {
      socket.destroy();
    }
  }
  throw new RuntimeError("unavailable", `systemd can't be reached: ${failures.join("; ")}`, {
    hint: 'it must run as number 1 where cgroup.driver = "systemd"; else set "cgroupfs"',
  });
}

async function connected(path: string, signal: AbortSignal): Promise<Socket> {
  const socket = createConnection({ path, signal });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  return socket;
}

/** One side of a connection: a question, then its answer. */
class Conversation {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #failure: Error | undefined;
  #wake: () => void = () => undefined;
  #serial = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    const fail = (error: Error): void => {
      this.#failure ??= error;
      this.#wake();
    };
    socket.on("error", fail).on("close", () => {
      fail(new Error("systemd closed the connection"));
    });
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
  }

  /**
   * SASL's EXTERNAL: the kernel tells the other side who we are (D-Bus specification, "Authentication Protocol"). BEGIN does
   * not wait for the answer, but the first call does: systemd's own socket keeps what it reads together with BEGIN until
   * more comes, and would wait for us as we for it.
   */
  async authenticate(): Promise<void> {
    const uid = Buffer.from(String(process.getuid?.() ?? 0)).toString("hex");
    this.#socket.write(`\0AUTH EXTERNAL ${uid}\r\nBEGIN\r\n`);
    const line = await this.#take((bytes) => {
      const end = bytes.indexOf("\r\n");
      return end < 0 ? undefined : { message: bytes.toString("latin1", 0, end), length: end + 2 };
    });
    if (!line.startsWith("OK ")) throw new Error(`systemd does not let us in: ${line}`);
  }

  async call(call: DbusCall): Promise<DbusReply> {
    const serial = ++this.#serial;
    this.#socket.write(encodeCall(serial, call));
    for (;;) {
      const message = await this.#take(decodeMessage);
      if (message.kind === "other" || message.replySerial !== serial) continue; // a signal
      if (message.kind === "error") throw new ManagerRefusal(message.errorName, message.text);
      return message;
    }
  }

  async #take<T>(decode: (bytes: Buffer) => { message: T; length: number } | undefined): Promise<T> {
    for (;;) {
      const found = decode(this.#received);
      if (found !== undefined) {
        this.#received = this.#received.subarray(found.length);
        return found.message;
      }
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
