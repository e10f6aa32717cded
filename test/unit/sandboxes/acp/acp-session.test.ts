import { expect } from "chai";
import { once } from "node:events";
import { WebSocket, WebSocketServer } from "ws";
import { createLogger } from "../../../../src/base/log.js";
import { untilAborted } from "../../../../src/base/or-aborted.js";
import { AcpSession, type SessionParts } from "../../../../src/sandboxes/acp/acp-session.js";
import type { ProcessEvent } from "../../../../src/sandboxes/core/process.js";
import { eventually, limit } from "../../../support/wait.js";

const sent = 100_000;

describe("a connection to an agent", function () {
  this.timeout(limit(20_000));

  it("reads no more from its client than the agent takes", async () => {
    let written = 0;
    const waiting: (() => void)[] = [];
    const processes: SessionParts["processes"] = {
      connect: async function* (_id, _from, signal): AsyncGenerator<ProcessEvent> {
        yield await untilAborted(signal);
      },
      write: async () => {
        await new Promise<void>((resolve) => waiting.push(resolve));
        written += 1;
      },
    };
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
    let received = 0;
    const log = createLogger("error", { write: () => undefined });
    const stopping = new AbortController();
    let run: Promise<boolean> | undefined;
    server.on("connection", (socket) => {
      socket.on("message", () => (received += 1));
      const session = new AcpSession({ socket, processes, id: 1, log, stopping: stopping.signal });
      run = session.run("start", new AbortController().signal);
    });
    await once(server, "listening");
    const address = server.address();
    if (typeof address === "string" || address === null) throw new Error("no port");
    const client = new WebSocket(`ws://127.0.0.1:${String(address.port)}`);
    await once(client, "open");
    for (let at = 0; at < sent; at += 1) client.send("{}");
    for (let taken = 0; taken < 20; taken += 1) {
      (await eventually("a message", 5_000, () => waiting.shift()))();
    }
    await eventually("the next", 5_000, () => (waiting.length > 0 ? true : undefined));
    expect(written).to.equal(20);
    expect(received).to.be.lessThan(sent / 2);
    stopping.abort();
    client.terminate();
    await run;
    server.close();
  });
});
