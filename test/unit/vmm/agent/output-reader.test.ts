import { status, type ServerDuplexStream } from "@grpc/grpc-js";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import type { OutputChunk, OutputOpen, OutputRequest } from "../../../../src/gen/agent/v1/agent.js";
import type { AgentClient } from "../../../../src/vmm/agent/agent-client.js";
import { connectAgent } from "../../../../src/vmm/agent/connect-agent.js";
import { eventually } from "../../../support/wait.js";
import { FakeAgent } from "./fake-agent.js";

type Call = ServerDuplexStream<OutputRequest, OutputChunk>;

const ref = { sessionId: "s", execId: "" };
const soon = (): AbortSignal => AbortSignal.timeout(8000);

function chunk(sequence: bigint, over: Partial<OutputChunk> = {}): OutputChunk {
  return { sequence, stream: 1, timeNs: sequence, data: Buffer.from(sequence.toString()), end: false, ...over };
}

function end(sequence: bigint): OutputChunk {
  return chunk(sequence, { end: true, data: Buffer.alloc(0), stream: 0 });
}

interface Session {
  readonly client: AgentClient;
  readonly agent: FakeAgent;
  readonly opens: OutputOpen[];
  readonly acknowledged: bigint[];
}

/** `serve` is called with each stream that is opened, and its number from 1. */
async function serving(
  serve: (call: Call, time: number) => void,
  test: (session: Session) => Promise<void>,
): Promise<void> {
  const opens: OutputOpen[] = [];
  const acknowledged: bigint[] = [];
  const output = (call: Call): void => {
    call.on("error", () => undefined);
    call.on("data", (request: OutputRequest) => {
      if (request.acknowledge !== undefined) acknowledged.push(request.acknowledge);
      if (request.open === undefined) return;
      opens.push(request.open);
      serve(call, opens.length);
    });
    call.on("end", () => {
      call.end();
    });
  };
  await using agent = await FakeAgent.start({ output });
  const client = connectAgent({ socketPath: agent.socketPath, booting: null }, "box");
  try {
    await test({ client, agent, opens, acknowledged });
  } finally {
    client.close("the test is over");
  }
}

async function refusal(broken: OutputChunk[]): Promise<RuntimeError> {
  let failure: unknown;
  await serving(
    (call) => {
      for (const one of broken) call.write(one);
    },
    async ({ client }) => {
      try {
        for await (const _chunk of client.output(ref, 0n, false, soon()));
      } catch (thrown) {
        failure = thrown;
      }
    },
  );
  if (!(failure instanceof RuntimeError)) throw new Error("it was taken");
  return failure;
}

describe("reading a process's output", () => {
  it("gives the chunks in order and ends after the last", async () => {
    await serving(
      (call) => {
        for (const one of [chunk(1n), chunk(2n), end(3n)]) call.write(one);
      },
      async ({ client, acknowledged }) => {
        const reader = client.output(ref, 0n, false, soon());
        const seen: bigint[] = [];
        for await (const { sequence } of reader) {
          seen.push(sequence);
          reader.acknowledge(sequence);
        }
        expect(seen).to.deep.equal([1n, 2n, 3n]);
        await eventually("all are acknowledged", 8000, () => (acknowledged.length === 3 ? true : undefined));
        expect(acknowledged).to.deep.equal([1n, 2n, 3n]);
      },
    );
  });

  it("asks for what was not acknowledged after a lost connection, and gives each chunk once", async () => {
    await serving(
      (call, time) => {
        const all = [chunk(1n), chunk(2n), chunk(3n), end(4n)];
        for (const one of time === 1 ? all.slice(0, 2) : all.slice(1)) call.write(one);
      },
      async ({ client, agent, opens }) => {
        const reader = client.output(ref, 0n, false, soon());
        const seen: bigint[] = [];
        for await (const { sequence } of reader) {
          seen.push(sequence);
          if (sequence === 1n) reader.acknowledge(1n);
          if (sequence === 2n) agent.dropConnections();
        }
        expect(seen).to.deep.equal([1n, 2n, 3n, 4n]);
        expect(opens.map(({ after }) => after)).to.deep.equal([0n, 1n]);
      },
    );
  });

  it("stops without a failure when it is closed", async () => {
    await serving(
      (call) => {
        call.write(chunk(1n));
      },
      async ({ client }) => {
        const reader = client.output(ref, 0n, false, soon());
        let count = 0;
        for await (const _chunk of reader) {
          count += 1;
          reader.close();
        }
        expect(count).to.equal(1);
      },
    );
  });

  it("refuses what an agent must not send", async () => {
    const tooLong = chunk(1n, { data: Buffer.alloc(32 * 1024 + 1) });
    expect((await refusal([tooLong])).message).to.contain("a chunk of 32769 bytes");
    expect((await refusal([chunk(1n), chunk(3n)])).message).to.contain("chunk 3 after 1");
    expect((await refusal([chunk(0n)])).message).to.contain("without a number");
    expect((await refusal([chunk(1n, { end: true })])).message).to.contain("an end with data");
    expect((await refusal([chunk(1n, { stream: 0 })])).message).to.contain("an unknown stream");
  });
});

describe("writing a process's input", () => {
  it("names the process once, cuts the bytes, and closes at the end", async () => {
    const received: { named: boolean; bytes: number; close: boolean }[] = [];
    await using agent = await FakeAgent.start({
      input: (call, reply) => {
        call.on("data", (request: { process?: unknown; data: Uint8Array; close: boolean }) => {
          const { process, data, close } = request;
          received.push({ named: process !== undefined, bytes: data.length, close });
        });
        call.on("end", () => {
          reply(null, {});
        });
      },
    });
    const client = connectAgent({ socketPath: agent.socketPath, booting: null }, "box");
    const input = client.input(ref, soon());
    await input.write(Buffer.alloc(40_000));
    await input.end();
    client.close("the test is over");
    expect(received).to.deep.equal([
      { named: true, bytes: 32_768, close: false },
      { named: false, bytes: 7_232, close: false },
      { named: false, bytes: 0, close: true },
    ]);
  });

  it("fails with the agent's reason when the process takes none", async () => {
    await using agent = await FakeAgent.start({
      input: (call, reply) => {
        call.once("data", () => {
          reply({ code: status.FAILED_PRECONDITION, details: "it has exited" });
        });
      },
    });
    const client = connectAgent({ socketPath: agent.socketPath, booting: null }, "box");
    const input = client.input(ref, soon());
    let failure: unknown;
    try {
      await input.end();
    } catch (thrown) {
      failure = thrown;
    }
    client.close("the test is over");
    expect(failure).to.be.instanceOf(RuntimeError).and.to.include({ code: "failedPrecondition" });
  });
});
