import { status } from "@grpc/grpc-js";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import type { AgentServiceServer, HelloResponse } from "../../../../src/gen/agent/v1/agent.js";
import type { AgentClient } from "../../../../src/vmm/agent/agent-client.js";
import { connectAgent } from "../../../../src/vmm/agent/connect-agent.js";
import { eventually } from "../../../support/wait.js";
import { FakeAgent, type Handshake } from "./fake-agent.js";

const hello: HelloResponse = {
  protocol: 1,
  agentVersion: "1",
  kernelRelease: "6",
  clocksource: "tsc",
  agentStartedBoottimeNs: 1n,
  nowBoottimeNs: 2n,
  runtime: "crun 1",
  hugePageKib: [2048n],
  layeredRoots: false,
  stagedWrites: false,
  apparmor: false,
  setUp: true,
};
const answersHello: Partial<AgentServiceServer> = {
  hello: (_call, reply) => {
    reply(null, hello);
  },
};

async function connected(
  calls: Partial<AgentServiceServer>,
  test: (client: AgentClient, agent: FakeAgent) => Promise<void>,
  handshake?: Handshake,
): Promise<void> {
  await using agent = await FakeAgent.start({ ...answersHello, ...calls }, handshake);
  const client = connectAgent({ socketPath: agent.socketPath, booting: null }, "box");
  try {
    await test(client, agent);
  } finally {
    client.close("the test is over");
  }
}

async function failureOf(promise: Promise<unknown>): Promise<RuntimeError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof RuntimeError) return thrown;
    throw thrown;
  }
  throw new Error("it did not fail");
}

const soon = (): AbortSignal => AbortSignal.timeout(8000);
const everything = { sessionId: "", processes: false, brief: false };
const ref = { sessionId: "s", execId: "" };

describe("the channel to an agent", () => {
  it("says hello over a connection that began with the nonce", async () => {
    await connected({}, async (client) => {
      expect(await client.hello(soon())).to.deep.equal(hello);
    });
  });

  it("keeps nothing that was said of a guest before it was set up", async () => {
    const early: Partial<AgentServiceServer> = {
      hello: ({ request }, reply) => {
        reply(null, { ...hello, setUp: request.whenSetUp, layeredRoots: request.whenSetUp });
      },
    };
    await connected(early, async (client) => {
      expect(await client.hello(soon())).to.include({ layeredRoots: false });
      expect(await client.guest(soon())).to.include({ layeredRoots: true });
    });
  });

  it("keeps what the hello said of the guest, and asks where none has been said", async () => {
    let asked = 0;
    const counted: Partial<AgentServiceServer> = {
      hello: (_call, reply) => {
        asked += 1;
        reply(null, hello);
      },
    };
    await connected(counted, async (client) => {
      expect(await client.guest(soon())).to.deep.equal(hello);
      expect(await client.guest(soon())).to.deep.equal(hello);
      expect(asked).to.equal(1);
      await client.hello(soon());
      expect(asked).to.equal(2);
    });
  });

  it("dials again when the first bytes are left over from another connection", async () => {
    const stale: Handshake = (line, _socket, attempt) =>
      attempt === 1 ? "\0\0\x12stale bytes of HTTP/2\n" : line.replace("HOST ", "AGENT ");
    await connected(
      {},
      async (client, agent) => {
        await client.hello(soon());
        expect(agent.attempts).to.equal(2);
      },
      stale,
    );
  });

  it("drops what was left over from another connection before the answer", async () => {
    const left: Handshake = (line) =>
      `\0\0\x12stale bytes of HTTP/2\nAGENT ${"a".repeat(24)}\n${line.replace("HOST ", "AGENT ")}`;
    await connected(
      {},
      async (client, agent) => {
        await client.hello(soon());
        expect(agent.attempts).to.equal(1);
      },
      left,
    );
  });

  it("hangs up on one that sends anything but the answer", async () => {
    const babbling: Handshake = (line, _socket, attempt) =>
      attempt === 1 ? "x".repeat(300_000) : line.replace("HOST ", "AGENT ");
    await connected(
      {},
      async (client, agent) => {
        await client.hello(soon());
        expect(agent.attempts).to.equal(2);
      },
      babbling,
    );
  });

  it("dials again when it is told to hang up on an agent that does not answer", async () => {
    let asked = 0;
    const calls: Partial<AgentServiceServer> = {
      listSessions: (_call, reply) => {
        if (++asked > 1) reply(null, { sessions: [] });
      },
    };
    await connected(calls, async (client, agent) => {
      const answer = client.reach(soon());
      await eventually("asked", 5_000, () => (asked > 0 ? true : undefined));
      client.hangUp();
      expect(await answer).to.deep.equal([]);
      expect(agent.attempts).to.equal(2);
    });
  });

  it("dials one that runs with the first call only", async () => {
    await connected({}, async (client, agent) => {
      await delay(50);
      expect(agent.attempts).to.equal(0);
      await client.hello(soon());
      expect(agent.attempts).to.equal(1);
    });
  });

  it("dials again when nobody answers the handshake", async () => {
    const silentOnce: Handshake = (line, _socket, attempt) =>
      attempt === 1 ? undefined : line.replace("HOST ", "AGENT ");
    await connected(
      {},
      async (client, agent) => {
        await client.hello(soon());
        expect(agent.attempts).to.equal(2);
      },
      silentOnce,
    );
  });

  it("has dropped its connection when it is closed, though the guest reads nothing", async () => {
    const settings = "\0\0\0\x04\0\0\0\0\0"; // all that this one ever says
    const silent: Handshake = (line) => line.replace("HOST ", "AGENT ") + settings;
    await using agent = await FakeAgent.start(answersHello, silent);
    const client = connectAgent({ socketPath: agent.socketPath, booting: null }, "box");
    const answer = failureOf(client.hello(soon()));
    const socket = await eventually("it is connected", 5000, () => agent.connections[0]);
    await delay(50); // its first words are on their way
    client.close("the test is over");
    await answer;
    await eventually("nobody takes what the guest says", 5000, () => {
      if (!socket.destroyed) socket.write("x");
      return socket.destroyed ? true : undefined;
    });
  });

  it("does not dial a guest that boots before it is told to", async () => {
    await using agent = await FakeAgent.start(answersHello);
    let open: () => void = () => undefined;
    const booting = new Promise<void>((resolve) => {
      open = resolve;
    });
    const client = connectAgent({ socketPath: agent.socketPath, booting }, "box");
    const answer = client.hello(soon());
    const early = await Promise.race([answer, new Promise((resolve) => setImmediate(resolve))]);
    expect(early).to.equal(undefined);
    expect(agent.attempts).to.equal(0);
    open();
    expect((await answer).protocol).to.equal(1);
    client.close("the test is over");
  });

  it("refuses an agent of another protocol, and says what to do", async () => {
    const calls: Partial<AgentServiceServer> = {
      hello: (_call, reply) => {
        reply(null, { ...hello, protocol: 7 });
      },
    };
    await connected(calls, async (client) => {
      const error = await failureOf(client.hello(soon()));
      expect(error.code).to.equal("failedPrecondition");
      expect(error.message).to.contain("protocol 7").and.to.contain("run the set-up again");
    });
  });

  it("turns statuses into codes, and keeps the message without control characters", async () => {
    const calls: Partial<AgentServiceServer> = {
      deleteSession: (_call, reply) => {
        reply({ code: status.NOT_FOUND, details: "no session \u001b[31m1" });
      },
      stats: (_call, reply) => {
        reply({ code: status.DATA_LOSS, details: "odd" });
      },
    };
    await connected(calls, async (client) => {
      const missing = await failureOf(client.deleteSession("1", soon()));
      expect(missing.code).to.equal("notFound");
      expect(missing.message).to.equal("agent delete session: no session ?[31m1");
      expect((await failureOf(client.stats(everything, soon()))).code).to.equal("internal");
    });
  });

  it("gives the caller's reason when the caller gives up", async () => {
    const calls: Partial<AgentServiceServer> = { stats: () => undefined };
    await connected(calls, async (client) => {
      const caller = new AbortController();
      const waiting = failureOf(client.stats(everything, caller.signal));
      caller.abort(new RuntimeError("canceled", "had enough"));
      expect((await waiting).message).to.equal("had enough");
    });
  });

  it("fails everything that waits, and every later call, when it is closed", async () => {
    await connected({ wait: () => undefined, stats: () => undefined }, async (client) => {
      await client.hello(soon());
      const waiting = [failureOf(client.wait(ref, soon())), failureOf(client.stats(everything, soon()))];
      client.close("vmm killed by signal 9");
      for (const error of await Promise.all([...waiting, failureOf(client.listSessions(soon()))])) {
        expect(error.code).to.equal("unavailable");
        expect(error.message).to.contain("vmm killed by signal 9");
      }
    });
  });

  it("is unavailable while nobody listens, and comes back by itself", async () => {
    await connected({}, async (client, agent) => {
      await client.hello(soon());
      agent.dropConnections();
      await client.hello(soon());
      expect(agent.attempts).to.equal(2);
    });
  });
});

describe("waiting for a process", () => {
  it("survives lost connections", async () => {
    let asked = 0;
    const exit = { code: 3, signal: 0, exitedAtNs: 5n, oomKilled: false };
    const asking: { again: () => void } = { again: () => undefined };
    const first = new Promise<void>((resolve) => {
      asking.again = resolve;
    });
    const calls: Partial<AgentServiceServer> = {
      wait: (_call, reply) => {
        asked += 1;
        if (asked === 1) asking.again();
        else reply(null, { exit });
      },
    };
    await connected(calls, async (client, agent) => {
      const waiting = client.wait(ref, soon());
      await first;
      agent.dropConnections();
      expect(await waiting).to.deep.equal(exit);
      expect(asked).to.equal(2);
    });
  });

  it("cuts an exit status that no process can have", async () => {
    const calls: Partial<AgentServiceServer> = {
      wait: (_call, reply) => {
        reply(null, { exit: { code: 4_000_000, signal: 900, exitedAtNs: 1n, oomKilled: false } });
      },
    };
    await connected(calls, async (client) => {
      expect(await client.wait(ref, soon())).to.include({ code: 255, signal: 0 });
    });
  });

  it("gives the Box's end as the reason when the connection drops because of it, though it is seen later", async () => {
    await connected({ stats: () => undefined }, async (client, agent) => {
      await client.hello(soon());
      const asking = failureOf(client.stats(everything, soon()));
      await delay(50);
      agent.dropConnections();
      await delay(100);
      client.close("the Box has ended: vmm exited with status 0");
      expect((await asking).message).to.contain("vmm exited with status 0");
    });
  });

  it("says that the connection dropped when the Box lives on", async () => {
    await connected({ stats: () => undefined }, async (client, agent) => {
      await client.hello(soon());
      const asking = failureOf(client.stats(everything, soon()));
      await delay(50);
      agent.dropConnections();
      const error = await asking;
      expect(error.code).to.equal("unavailable");
      expect(error.message).to.match(/^agent stats: /);
    });
  });
});
