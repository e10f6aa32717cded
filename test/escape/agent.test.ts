/** An agent that has been taken over: what it can do to the daemon by what it says. */
import { expect } from "chai";
import { rm, mkdtemp } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connectAgent } from "../../src/vmm/agent/connect-agent.js";
import { FakeAgent } from "../unit/vmm/agent/fake-agent.js";
import { limit } from "../support/wait.js";

const mib = 1 << 20;
/** What the daemon may hold of an agent's words, far above what it is seen to hold. */
const mostMib = 160;
const zeros = Buffer.alloc(mib);

/** A frame of HTTP/2 (RFC 9113, 4.1). */
function frame(type: number, flags: number, payload: Buffer, stream = 0): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Answers the handshake, or not, and then says the same thing again and again for as long as anyone takes it. */
async function shouting(
  afterHandshake: boolean,
  first: Buffer,
  again: Buffer,
  test: (path: string, heard: () => number) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-e"));
  const sockets = new Set<Socket>();
  let taken = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    const shout = (): void => {
      if (socket.destroyed) return;
      socket.write(again, () => {
        taken += again.length;
        setImmediate(shout);
      });
    };
    socket.once("data", (line: Buffer) => {
      if (afterHandshake) socket.write(line.toString().replace("HOST ", "AGENT "));
      socket.write(first);
      shout();
    });
  });
  const path = join(directory, "agent.sock");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await test(path, () => taken);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** An error from hello, within its limit; and this process, which stands for the daemon, has not grown. */
async function survives(path: string): Promise<Error> {
  const before = process.memoryUsage().rss;
  const client = connectAgent({ socketPath: path, booting: null }, "box");
  try {
    const beganMs = performance.now();
    const failure = await client.hello(AbortSignal.timeout(1500)).catch((thrown: unknown) => thrown);
    expect(performance.now() - beganMs).to.be.below(limit(10_000));
    await delay(200);
    expect((process.memoryUsage().rss - before) / mib).to.be.below(mostMib);
    if (failure instanceof Error) return failure;
    throw new Error("it took that for an answer");
  } finally {
    client.close("the test is over");
  }
}

describe("an agent that is hostile", function () {
  this.timeout(limit(30_000));

  it("is hung up on when its handshake has no end", async () => {
    await shouting(false, Buffer.alloc(0), zeros, async (path, heard) => {
      await survives(path);
      // A few attempts of a buffer each, and not as fast as it can talk for a second and a half.
      expect(heard() / mib).to.be.below(64);
    });
  });

  it("gets nowhere with bytes that are no HTTP/2", async () => {
    await shouting(true, zeros.subarray(0, 100), Buffer.from("GET / HTTP/1.1\r\n\r\n"), async (path) => {
      await survives(path);
    });
  });

  it("does not fill the daemon with pings, settings, or headers without an end", async () => {
    const settings = frame(4, 0, Buffer.alloc(0));
    const ping = frame(6, 0, Buffer.alloc(8));
    const header = frame(9, 0, Buffer.alloc(16_000), 1);
    for (const again of [ping, settings, header]) {
      await shouting(true, settings, Buffer.concat(Array.from({ length: 20 }, () => again)), async (path) => {
        await survives(path);
      });
    }
  });

  it("can't send a message of more than 1 MiB", async () => {
    await using agent = await FakeAgent.start({
      hello: (_call, reply) => {
        const agentVersion = "x".repeat(2 * mib);
        const rest = { kernelRelease: "", clocksource: "", agentStartedBoottimeNs: 1n, nowBoottimeNs: 1n, runtime: "" };
        reply(null, {
          protocol: 1,
          agentVersion,
          ...rest,
          hugePageKib: [],
          layeredRoots: false,
          stagedWrites: false,
          apparmor: false,
          setUp: true,
        });
      },
    });
    const client = connectAgent({ socketPath: agent.socketPath, booting: null }, "box");
    try {
      const failure = await client.hello(AbortSignal.timeout(limit(10_000))).catch((thrown: unknown) => thrown);
      expect(failure).to.be.instanceOf(Error);
      expect(failure).to.have.property("code", "brokenContract");
    } finally {
      client.close("the test is over");
    }
  });
});
