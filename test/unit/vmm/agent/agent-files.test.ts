import { expect } from "chai";
import { status } from "@grpc/grpc-js";
import { RuntimeError } from "../../../../src/base/errors.js";
import { neverAborted } from "../../../../src/base/signals.js";
import {
  FileKind,
  type FileAttribute,
  type FileScope,
  type WriteFileRequest,
} from "../../../../src/gen/agent/v1/agent.js";
import type { AgentClient } from "../../../../src/vmm/agent/agent-client.js";
import { connectAgent } from "../../../../src/vmm/agent/connect-agent.js";
import { FakeAgent } from "./fake-agent.js";

const none = Buffer.alloc(0);
const scope: FileScope = {
  ...{
    sessionId: "s",
    user: "",
    uid: 0,
    gid: 0,
    groups: [],
    capabilities: [],
    oomScoreAdj: 0,
    base: none,
    root: none,
    attributes: none,
  },
};
const path = Buffer.from("/a");
const noAttributes: FileAttribute[] = [];
const entry = {
  ...{
    path,
    kind: FileKind.FILE,
    sizeBytes: 3n,
    mode: 0o644,
    uid: 0,
    gid: 0,
    owner: none,
    group: none,
    modifiedAtNs: 0n,
  },
  target: none,
  attributes: noAttributes,
} as const;
const open = { scope, path, mode: 0o644, parents: false, attributes: [] };

async function failing(work: Promise<unknown>): Promise<RuntimeError> {
  const thrown: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (thrown instanceof RuntimeError) return thrown;
  throw new Error(`not a RuntimeError: ${String(thrown)}`);
}

describe("files of an agent", () => {
  let agent: FakeAgent | undefined;
  let client: AgentClient | undefined;
  afterEach(async () => {
    client?.close("the test has ended");
    await agent?.[Symbol.asyncDispose]();
  });

  async function connected(calls: Parameters<typeof FakeAgent.start>[0]): Promise<AgentClient> {
    agent = await FakeAgent.start(calls);
    client = connectAgent({ socketPath: agent.socketPath, booting: null }, "box");
    return client;
  }

  it("are written in parts of 256 KiB at most, the last of which says that it is", async () => {
    const got: WriteFileRequest[] = [];
    const { files } = await connected({
      writeFile: (call, reply) => {
        call.on("data", (request: WriteFileRequest) => got.push(request));
        call.on("end", () => {
          reply(null, { entry });
        });
      },
    });
    async function* body(): AsyncGenerator<Uint8Array, void> {
      yield await Promise.resolve(Buffer.alloc(600 * 1024));
    }
    expect((await files.write(open, body(), neverAborted)).sizeBytes).to.equal(3n);
    expect(got.map(({ data, end }) => [data.length, end])).to.deep.equal([
      [0, false],
      [256 * 1024, false],
      [256 * 1024, false],
      [88 * 1024, false],
      [0, true],
    ]);
    expect(got.map((request) => request.open !== undefined)).to.deep.equal([true, false, false, false, false]);
  });

  it("fail in the middle with the agent's own reason, and the body is read no further", async () => {
    const { files } = await connected({
      writeFile: (call, reply) => {
        call.once("data", () => {
          reply({ code: status.RESOURCE_EXHAUSTED, details: "files: No space left on device" });
        });
      },
    });
    const state = { given: 0, ended: false };
    async function* body(): AsyncGenerator<Uint8Array, void> {
      try {
        for (;;) {
          state.given += 1;
          yield Buffer.alloc(256 * 1024);
          await new Promise((resolve) => setImmediate(resolve));
        }
      } finally {
        state.ended = true;
      }
    }
    const thrown = await failing(files.write(open, body(), neverAborted));
    expect(thrown).to.include({ code: "resourceExhausted" });
    expect(thrown.message).to.contain("No space left");
    expect(state.given).to.be.below(1000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(state.ended).to.equal(true);
  });

  it("are cancelled with a body that throws, or a caller that gives up", async () => {
    let cancelled = 0;
    let begun: () => void = () => undefined;
    const { files } = await connected({
      writeFile: (call) => {
        call.on("data", () => {
          begun();
        });
        call.on("cancelled", () => (cancelled += 1));
      },
    });
    async function* bad(): AsyncGenerator<Uint8Array, void> {
      yield Buffer.alloc(3);
      await new Promise<void>((resolve) => (begun = resolve));
      throw new RuntimeError("invalidArgument", "the body");
    }
    expect((await failing(files.write(open, bad(), neverAborted))).message).to.equal("the body");
    const caller = new AbortController();
    async function* slow(): AsyncGenerator<Uint8Array, void> {
      yield Buffer.alloc(3);
      await new Promise<void>((resolve) => (begun = resolve));
      caller.abort(new RuntimeError("canceled", "the caller"));
      await new Promise(() => undefined);
    }
    expect((await failing(files.write(open, slow(), caller.signal))).message).to.equal("the caller");
    while (cancelled < 2) await new Promise((resolve) => setImmediate(resolve));
  });

  it("come as they are sent, and who leaves early cancels", async () => {
    let cancelled: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (cancelled = resolve));
    const { files } = await connected({
      readFile: (call) => {
        call.on("cancelled", cancelled);
        call.write({ entry, data: none });
        for (let part = 0; part < 100; part += 1) call.write({ entry: undefined, data: Buffer.alloc(256 * 1024) });
      },
    });
    const parts = files.read({ scope, path, offset: 0n, length: undefined }, neverAborted);
    for await (const part of parts) if (part.data.length > 0) break;
    await ended;
  });

  it("end the channel when more comes than the contract has", async () => {
    const { files, broken } = await connected({
      readFile: (call) => {
        call.write({ entry, data: Buffer.alloc(256 * 1024 + 1) });
      },
    });
    const parts = files.read({ scope, path, offset: 0n, length: undefined }, neverAborted);
    expect(await failing(parts.next())).to.include({ code: "brokenContract" });
    expect(broken.aborted).to.equal(true);
  });
});
