/** Lines on one side, a real server of HTTP on the other, which answers as daemons do that end in the middle. */
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { findEndpoint } from "../../../../src/cli/client/endpoint.js";
import { McpBridge } from "../../../../src/cli/client/mcp-bridge.js";

const call = (id: number | string): string => JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: {} });
const event = (message: object): string =>
  `event: message\ndata: ${JSON.stringify({ jsonrpc: "2.0", ...message })}\n\n`;
const progress = event({ method: "notifications/progress", params: { progress: 1 } });

describe("the bridge from stdio to /mcp", () => {
  let server: Server;
  let answer: (response: ServerResponse) => void;
  let port = 0;

  before(async () => {
    server = createServer((request, response) => {
      request.resume().once("end", () => {
        answer(response);
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
  });

  after(() => {
    server.close();
    server.closeAllConnections();
  });

  /** What the client has been told when all that it asked for is settled. */
  async function told(...lines: readonly string[]): Promise<readonly unknown[]> {
    const all: unknown[] = [];
    const bridge = new McpBridge(await findEndpoint(`127.0.0.1:${String(port)}`, {}), (line) =>
      all.push(JSON.parse(line)),
    );
    for (const line of lines) bridge.take(line);
    await bridge.settled();
    return all;
  }

  const ends: readonly [string, (response: ServerResponse, text: string) => void][] = [
    ["ends", (response, text) => response.end(text)],
    ["breaks off", (response, text) => response.write(text, () => response.destroy())],
  ];
  for (const [how, end] of ends) {
    it(`tells the client of an error where a stream ${how} without the answer, and passes on what came before`, async () => {
      const rows = [
        "",
        progress,
        event({ id: 8, result: {} }),
        event({ id: "7", result: {} }),
        'data: {"jsonrpc":"2.0","id":7,"res',
      ];
      for (const text of rows) {
        answer = (response) => {
          end(response.writeHead(200, { "content-type": "text/event-stream" }), text);
        };
        const messages = await told(call(7));
        const passedOn = text.endsWith("\n\n") ? 1 : 0;
        expect(messages, text).to.have.length(passedOn + 1);
        expect(messages.at(-1), text)
          .to.have.nested.property("error.message")
          .that.matches(/without its answer/);
        expect(messages.at(-1), text).to.include({ id: 7 });
      }
    });
  }

  it("passes an answer on once, whatever becomes of the stream behind it", async () => {
    for (const [, end] of ends) {
      answer = (response) => {
        end(
          response.writeHead(200, { "content-type": "text/event-stream" }),
          progress + event({ id: 7, result: { a: "ü" } }),
        );
      };
      expect((await told(call(7))).slice(1)).to.deep.equal([{ jsonrpc: "2.0", id: 7, result: { a: "ü" } }]);
    }
  });

  it("has nothing to say of a stream that answers a notification", async () => {
    answer = (response) => response.writeHead(200, { "content-type": "text/event-stream" }).end();
    expect(await told(JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" }))).to.deep.equal([]);
  });
});
