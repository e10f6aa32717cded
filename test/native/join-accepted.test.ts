/** Connections of a listener that libuv does not know, joined with sockets that it does: here of TCP, which every kernel has. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { connect, Socket } from "node:net";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { loadNative, type JoinedListener } from "../../src/native/addon.js";
import { freePort } from "../support/free-port.js";
import { projectDirectory } from "../support/project.js";
import { eventually, limit } from "../support/wait.js";

const { native } = loadNative(join(projectDirectory, "build/assets"));
const ownNamespace = "/proc/self/ns/net";

describe("connections that are joined with Unix sockets", function () {
  this.timeout(limit(60_000));
  const made: { end(): void }[] = [];
  let before: number;

  beforeEach(async () => {
    before = await descriptors();
  });

  afterEach(async () => {
    for (const one of made.splice(0)) one.end();
    await eventually("no descriptor is left", 30_000, async () => ((await descriptors()) <= before ? true : undefined));
  });

  const opened = async (most = 16): Promise<Opened> => {
    const port = await freePort();
    const fd = await native.listenIn(ownNamespace, "tcp", "127.0.0.1", port);
    const arrived: Socket[] = [];
    const listener = native.joinAccepted(fd, most, (one) => {
      const socket = new Socket({ fd: one, readable: true, writable: true, allowHalfOpen: true });
      socket.on("error", () => undefined);
      arrived.push(socket);
    });
    made.push({
      end: () => {
        listener.close();
        for (const socket of arrived) socket.destroy();
      },
    });
    const client = (): Socket => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      socket.on("error", () => undefined);
      made.push({ end: () => socket.destroy() });
      return socket;
    };
    const pair = async (): Promise<{ client: Socket; server: Socket }> => {
      const count = arrived.length;
      const socket = client();
      const server = await eventually("it arrives", 10_000, () => arrived[count]);
      return { client: socket, server };
    };
    return { listener, arrived, client, pair };
  };

  it("carry all bytes both ways, and the end of each direction by itself", async () => {
    const { pair } = await opened();
    const { client, server } = await pair();
    const data = randomBytes(8 << 20);
    const asked = all(server);
    client.end(data);
    expect((await asked).equals(data)).to.equal(true);
    const answered = all(client);
    server.write(data);
    server.end("last");
    expect((await answered).equals(Buffer.concat([data, Buffer.from("last")]))).to.equal(true);
  });

  it("hold little of what nobody reads, and give it whole to who reads late", async () => {
    const { pair } = await opened();
    for (const turn of ["client", "server"] as const) {
      const ends = await pair();
      const [writer, reader] = turn === "client" ? [ends.client, ends.server] : [ends.server, ends.client];
      reader.pause();
      const data = randomBytes(24 << 20);
      writer.end(data);
      // What the writer still holds: the rest is in the kernel's buffers, and a slice of ours.
      const held = await settled(() => writer.writableLength);
      expect(held, turn).to.be.greaterThan(8 << 20);
      expect((await all(reader)).equals(data), turn).to.equal(true);
    }
  });

  it("are as many as may be; one more waits until one has ended", async () => {
    const { arrived, client, pair } = await opened(2);
    const first = await pair();
    await pair();
    const third = client();
    third.write("third");
    await once(third, "connect");
    await new Promise(setImmediate);
    expect(arrived).to.have.length(2);
    first.client.destroy();
    first.server.destroy();
    const server = await eventually("it arrives", 10_000, () => arrived[2]);
    const [chunk] = (await once(server, "data")) as [Buffer];
    expect(chunk.toString()).to.equal("third");
  });

  it("end at both sides when one is cut off, whatever is on its way", async () => {
    const { pair } = await opened();
    const cut = await pair();
    cut.server.resume();
    const serverClosed = closing(cut.server);
    cut.client.write("half");
    await once(cut.server, "data");
    cut.client.resetAndDestroy();
    cut.server.write(Buffer.alloc(1 << 20));
    await serverClosed;
    const dropped = await pair();
    dropped.client.resume();
    const clientClosed = closing(dropped.client);
    dropped.client.write(Buffer.alloc(1 << 20));
    dropped.server.destroy();
    dropped.client.on("end", () => dropped.client.end());
    await clientClosed;
  });

  it("are given up where our side has closed and the client takes nothing", async () => {
    const { pair } = await opened();
    const count = await descriptors();
    const { client, server } = await pair();
    client.pause();
    server.write(Buffer.alloc(16 << 20));
    await settled(() => server.writableLength);
    server.destroy();
    // The client's own descriptor is all that is left of it.
    await eventually("it is given up", 30_000, async () => ((await descriptors()) <= count + 1 ? true : undefined));
  });

  it("go on when nobody new is listened for", async () => {
    const { listener, client, pair } = await opened();
    const { client: there, server } = await pair();
    listener.close();
    const refused = client();
    await closing(refused);
    there.write("still");
    const [chunk] = (await once(server, "data")) as [Buffer];
    expect(chunk.toString()).to.equal("still");
  });

  it("end with the environment that has them, and take the process nowhere", async () => {
    const path = join(projectDirectory, "build/assets/native/a3s_box.node");
    const port = await freePort();
    const code = `
      const native = require(${JSON.stringify(path)});
      const { parentPort } = require("node:worker_threads");
      native.listenIn(${JSON.stringify(ownNamespace)}, "tcp", "127.0.0.1", ${String(port)}).then((fd) => {
        native.joinAccepted(fd, 4, (one) => parentPort.postMessage("arrived"));
        parentPort.postMessage("listening");
      });
      setInterval(() => undefined, 1000);`;
    const worker = new Worker(code, { eval: true });
    await once(worker, "message");
    const client = connect({ port, host: "127.0.0.1" });
    client.on("error", () => undefined);
    made.push({ end: () => client.destroy() });
    await once(worker, "message");
    const closed = closing(client.resume());
    await worker.terminate();
    await closed;
    client.destroy();
    before += 1; // the Unix socket, which nobody in the worker has closed
  });

  it("are refused arguments that are none", () => {
    const wrong: readonly unknown[][] = [[], [-1, 0, () => undefined], [-1, 4, "no"], ["x", 4, () => undefined]];
    for (const values of wrong) expect(() => called("joinAccepted", values)).to.throw(TypeError);
    expect(() => native.joinAccepted(-1, 4, () => undefined)).to.throw(/EBADF: listen/);
    expect(() => called("bindVsock", ["x"])).to.throw(TypeError);
  });
});

interface Opened {
  readonly listener: JoinedListener;
  readonly arrived: readonly Socket[];
  readonly client: () => Socket;
  readonly pair: () => Promise<{ client: Socket; server: Socket }>;
}

/** With what no type allows. */
function called(name: "joinAccepted" | "bindVsock", values: readonly unknown[]): unknown {
  const found: unknown = Reflect.get(native, name);
  if (typeof found !== "function") throw new Error(`no ${name}`);
  const answer: unknown = Reflect.apply(found, undefined, values);
  return answer;
}

/** Also of one that fails. */
async function closing(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.once("close", () => {
      resolve();
    });
  });
}

async function descriptors(): Promise<number> {
  return (await readdir("/proc/self/fd")).length;
}

async function all(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A figure that has not changed for some looks. */
async function settled(figure: () => number): Promise<number> {
  let last = -1;
  let same = 0;
  return await eventually("it stands still", 20_000, () => {
    same = figure() === last ? same + 1 : 0;
    last = figure();
    return same >= 5 ? last : undefined;
  });
}
