import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import type { AgentServiceServer } from "../../../../src/gen/agent/v1/agent.js";
import type { AgentClient } from "../../../../src/vmm/agent/agent-client.js";
import { connectAgent } from "../../../../src/vmm/agent/connect-agent.js";
import { eventually } from "../../../support/wait.js";
import { FakeAgent } from "./fake-agent.js";

const soon = (): AbortSignal => AbortSignal.timeout(8000);
const ref = { sessionId: "s", execId: "" };
const exit = { code: 7, signal: 0, exitedAtNs: 1n, oomKilled: false };

async function connected(
  calls: Partial<AgentServiceServer>,
  test: (client: AgentClient, agent: FakeAgent) => Promise<void>,
): Promise<void> {
  await using agent = await FakeAgent.start(calls);
  const client = connectAgent({ socketPath: agent.socketPath, booting: null }, "box");
  try {
    await test(client, agent);
  } finally {
    client.close("the test is over");
  }
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
}

describe("an agent that rests", () => {
  it("is sent nothing: calls with a limit fail at once, and say why; afterwards they are answered", async () => {
    let asked = 0;
    const calls: Partial<AgentServiceServer> = {
      listSessions: (_call, reply) => {
        asked += 1;
        reply(null, { sessions: [] });
      },
    };
    await connected(calls, async (client, agent) => {
      await client.listSessions(soon());
      client.rest();
      expect(client.isResting).to.equal(true);
      const { attempts } = agent;
      for (const work of [client.listSessions(soon()), client.connectPort(80, soon())]) {
        expect(await failureOf(work)).to.include({ code: "unavailable", message: "agent: the sandbox is paused" });
      }
      await new Promise((resolve) => setTimeout(resolve, 50)); // the lost connection is seen meanwhile
      expect(agent.attempts).to.equal(attempts);
      client.wake();
      expect(await client.listSessions(soon())).to.deep.equal([]);
      expect(asked).to.equal(2);
    });
  });

  it("keeps who waits for a process waiting, however often it has rested, and nobody dials it", async () => {
    let asked = 0;
    const calls: Partial<AgentServiceServer> = {
      wait: (_call, reply) => {
        if (++asked > 1) reply(null, { exit });
      },
    };
    await connected(calls, async (client, agent) => {
      const waiting = client.wait(ref, soon());
      await eventually("it has been asked", 5_000, () => (asked > 0 ? true : undefined));
      client.rest();
      await new Promise((resolve) => setTimeout(resolve, 300)); // what is lost is asked for again within that
      expect(agent.attempts).to.equal(1);
      client.wake();
      expect(await waiting).to.include({ code: 7 });
      expect(agent.attempts).to.equal(2);
    });
  });

  it("lets them go when their caller does, and when the channel is closed, with the reason", async () => {
    await connected({}, async (client) => {
      client.rest();
      const gone = new AbortController();
      const left = failureOf(client.wait(ref, gone.signal));
      const reader = client.output(ref, 0n, false, gone.signal)[Symbol.asyncIterator]();
      const output = failureOf(reader.next());
      const kept = failureOf(client.wait(ref, soon()));
      gone.abort(new RuntimeError("canceled", "the caller gave up"));
      expect(await left).to.include({ message: "the caller gave up" });
      expect(await output).to.include({ message: "the caller gave up" });
      client.close("the Box has ended");
      expect(await kept).to.include({ code: "unavailable", message: "agent: the Box has ended" });
    });
  });
});
