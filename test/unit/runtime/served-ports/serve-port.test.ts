/** What a hostile agent can do to the host by the ports that are served in its pod: a double of it, as its words matter alone. */
import { status, type ServerWritableStream } from "@grpc/grpc-js";
import { expect } from "chai";
import { createLogger } from "../../../../src/base/log.js";
import type { ServePortRequest, ServePortResponse } from "../../../../src/gen/agent/v1/agent.js";
import { Places } from "../../../../src/runtime/served-ports/places.js";
import { Rate } from "../../../../src/runtime/served-ports/rate.js";
import { servePort } from "../../../../src/runtime/served-ports/serve-port.js";
import { connectAgent } from "../../../../src/vmm/agent/connect-agent.js";
import type { AgentClient } from "../../../../src/vmm/agent/agent-client.js";
import { eventually, limit } from "../../../support/wait.js";
import { FakeAgent } from "../../vmm/agent/fake-agent.js";

type ServeCall = ServerWritableStream<ServePortRequest, ServePortResponse>;
type Calls = Parameters<typeof FakeAgent.start>[0];

const log = createLogger("error");
const said = (id: bigint, peer = "127.0.0.1:5"): ServePortResponse => ({ connectionId: id, peer });

async function served(
  says: (call: ServeCall) => void,
  calls: Calls,
  rate: Rate,
  test: (client: AgentClient, serving: Promise<void>, peers: string[]) => Promise<void>,
): Promise<void> {
  await using agent = await FakeAgent.start({ servePort: says, ...calls });
  const client = connectAgent({ socketPath: agent.socketPath, booting: null }, "box");
  const stop = new AbortController();
  const peers: string[] = [];
  try {
    const port = { port: 4089, address: "loopback", mostConnections: 8 } as const;
    const connected = (stream: { destroy(): unknown }, peer: string): void => {
      peers.push(peer);
      stream.destroy();
    };
    const isEnding = (): boolean => false;
    const serving = servePort(
      { agent: client, places: new Places(4), rate, log, port, connected, isEnding },
      stop.signal,
    );
    serving.catch(() => undefined);
    await test(client, serving, peers);
  } finally {
    stop.abort();
    client.close("the test is over");
  }
}

const quick = (): Rate => new Rate(1000, 1000);

describe("a port that the host serves, of a hostile agent", () => {
  for (const [what, ids] of [
    ["the same id twice", [0n, 7n, 7n]],
    ["ids that go down", [0n, 7n, 3n]],
    ["a connection before it listens", [5n]],
    ["an id of 0 again", [0n, 0n]],
  ] as const) {
    it(`ends the channel, and so the Box, for ${what}`, async () => {
      const says = (call: ServeCall): void => {
        for (const id of ids) call.write(said(id));
      };
      await served(
        says,
        { takeConnection: (call) => call.emit("error", { code: status.NOT_FOUND }) },
        quick(),
        async (client) => {
          await eventually("the channel is broken", 5000, () => (client.broken.aborted ? true : undefined));
          expect(client.broken.reason).to.have.property("code", "brokenContract");
        },
      );
    });
  }

  it("asks for connections that are not there no faster than its rate allows", async () => {
    let [told, taken] = [0n, 0];
    const says = (call: ServeCall): void => {
      call.write(said(0n));
      const more = (): void => {
        while (!call.cancelled && call.write(said((told += 1n))));
        if (!call.cancelled) call.once("drain", more);
      };
      more();
    };
    const takeConnection: NonNullable<Calls["takeConnection"]> = (call) => {
      taken += 1;
      call.emit("error", { code: status.NOT_FOUND, details: "no such connection waits" });
    };
    const rate = new Rate(10, 20);
    await served(says, { takeConnection }, rate, async (client, serving) => {
      await serving;
      const began = performance.now();
      await eventually("more than come at once", limit(20_000), () => (taken > 20 ? true : undefined));
      const seconds = (performance.now() - began) / 1000;
      expect(taken).to.be.at.most(10 + 4 + Math.ceil(20 * (seconds + 0.2)));
      // what is not read waits at the agent
      expect(Number(told)).to.be.below(1_000_000);
      expect(client.broken.aborted).to.equal(false);
    });
  });

  it("takes no word of it for an address that is none", async () => {
    const says = (call: ServeCall): void => {
      ["10.0.0.1:5", "[::1]:5", "evil\n:5", "999.1.1.1:5", ""].forEach((peer, at) =>
        call.write(said(BigInt(at + 1), peer)),
      );
    };
    const first = (call: ServeCall): void => {
      call.write(said(0n, ""));
      says(call);
    };
    const takeConnection: NonNullable<Calls["takeConnection"]> = (call) =>
      call.write({ data: Buffer.alloc(0), end: false });
    await served(first, { takeConnection }, quick(), async (_client, _serving, peers) => {
      await eventually("all are there", 5000, () => (peers.length === 5 ? true : undefined));
      expect(peers.toSorted()).to.deep.equal(["", "", "", "10.0.0.1:5", "[::1]:5"]);
    });
  });

  it("says why it can't be listened on", async () => {
    const says = (call: ServeCall): void => {
      call.emit("error", { code: status.ALREADY_EXISTS, details: "serve port: port 4089 is in use in the pod" });
    };
    await served(says, {}, quick(), async (_client, serving) => {
      const failure: unknown = await serving.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(failure).to.include({ code: "alreadyExists" });
    });
  });
});
