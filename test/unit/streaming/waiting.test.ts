import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { expect } from "chai";
import { Waiting } from "../../../src/streaming/waiting.js";
import { rawConnect, spdyCommand, spdyConnect } from "../../support/streaming/spdy-client.js";
import { aborted, command, testServer } from "./support.js";

/** More than a server would once have had at all. */
const many = 2100;

describe("connections that show no token", function () {
  this.timeout(20_000);
  const idle: Socket[] = [];
  afterEach(() => {
    for (const socket of idle.splice(0)) socket.destroy();
  });

  async function open(count: number, url: string): Promise<void> {
    for (let at = 0; at < count; at += 100) {
      idle.push(...(await Promise.all(Array.from({ length: 100 }, () => rawConnect(url)))));
    }
    for (const socket of idle) socket.on("error", () => undefined);
  }

  it("keep nobody out who has one, and push nobody out who has shown it, however many they are", async () => {
    const server = await testServer();
    const lasting = command({ stdin: true }, async (_streams, signal) => {
      await aborted(signal);
      return undefined;
    });
    const inside = await spdyConnect(server.offer(lasting), ["v4.channel.k8s.io"]);
    await open(many, server.offer(lasting));
    const { client, error } = await spdyCommand(server.offer(command({}, () => Promise.resolve(0))), { stdout: true });
    expect(await error.ending()).to.equal('{"status":"Success"}');
    client.destroy();
    expect(inside.closed).to.equal(false);
    expect(idle.filter(({ destroyed, readableEnded }) => !destroyed && !readableEnded).length).to.be.at.most(1000);
    inside.destroy();
    for (const socket of idle) socket.destroy();
    await server.close();
  });

  describe("are", () => {
    let server: Server;
    const accepted: Socket[] = [];
    const listen = async (waiting: Waiting): Promise<number> => {
      server = createServer((socket) => {
        accepted.push(socket.on("error", () => undefined));
        waiting.add(socket);
      });
      await once(server.listen(0, "0.0.0.0"), "listening");
      return (server.address() as AddressInfo).port;
    };
    const from = async (source: string, port: number): Promise<Socket> => {
      const socket = connect({ port, host: "127.0.0.1", localAddress: source }).on("error", () => undefined);
      idle.push(socket);
      const before = accepted.length;
      await once(socket, "connect");
      while (accepted.length === before) await once(server, "connection");
      return socket;
    };
    afterEach(() => {
      for (const socket of accepted.splice(0)) socket.destroy();
      server.close();
    });

    it("closed when their time is over", async () => {
      const port = await listen(new Waiting(50));
      const socket = await from("127.0.0.1", port);
      await once(socket.resume(), "close");
    });

    it("left alone once they have shown one", async () => {
      const waiting = new Waiting(50);
      const port = await listen(waiting);
      const kept = await from("127.0.0.1", port);
      waiting.remove(accepted[0]?.remoteAddress, accepted[0]?.remotePort);
      const other = await from("127.0.0.1", port);
      await once(other.resume(), "close");
      expect(kept.destroyed).to.equal(false);
    });

    it("pushed out by their own source's: one other client of another address stays", async () => {
      const port = await listen(new Waiting());
      const guest = await from("127.0.0.2", port);
      for (let i = 0; i < 1005; i++) await from("127.0.0.1", port);
      const [first, ...rest] = accepted.filter(({ remoteAddress }) => remoteAddress === "127.0.0.1");
      expect(first?.destroyed).to.equal(true);
      expect(rest.filter(({ destroyed }) => !destroyed)).to.have.lengthOf(999);
      expect(guest.destroyed).to.equal(false);
      expect(accepted[0]?.destroyed).to.equal(false);
    });
  });
});
