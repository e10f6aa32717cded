import { expect } from "chai";
import { status } from "@grpc/grpc-js";
import { RuntimeError } from "../../../../src/base/errors.js";
import { neverAborted } from "../../../../src/base/signals.js";
import {
  FileKind,
  type AgentServiceServer,
  type FileAttribute,
  type FileScope,
  type StagedPart,
  type WriteFileRequest,
} from "../../../../src/gen/agent/v1/agent.js";
import type { AgentClient } from "../../../../src/vmm/agent/agent-client.js";
import { connectAgent } from "../../../../src/vmm/agent/connect-agent.js";
import { stagingBytes } from "../../../../src/vmm/agent/staged-parts.js";
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
const noStaging = () => Promise.resolve(undefined);
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
      writeFile: (call) => {
        call.on("data", (request: WriteFileRequest) => got.push(request));
        call.on("end", () => {
          call.write({ entry, taken: 0 });
          call.end();
        });
      },
    });
    async function* body(): AsyncGenerator<Uint8Array, void> {
      yield await Promise.resolve(Buffer.alloc(600 * 1024));
    }
    expect((await files.write(open, body(), noStaging, neverAborted)).sizeBytes).to.equal(3n);
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
      writeFile: (call) => {
        call.once("data", () => {
          call.emit("error", { code: status.RESOURCE_EXHAUSTED, details: "files: No space left on device" });
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
    const thrown = await failing(files.write(open, body(), noStaging, neverAborted));
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
    expect((await failing(files.write(open, bad(), noStaging, neverAborted))).message).to.equal("the body");
    const caller = new AbortController();
    async function* slow(): AsyncGenerator<Uint8Array, void> {
      yield Buffer.alloc(3);
      await new Promise<void>((resolve) => (begun = resolve));
      caller.abort(new RuntimeError("canceled", "the caller"));
      await new Promise(() => undefined);
    }
    expect((await failing(files.write(open, slow(), noStaging, caller.signal))).message).to.equal("the caller");
    while (cancelled < 2) await new Promise((resolve) => setImmediate(resolve));
  });

  describe("through the share", () => {
    const kib = 1024;
    const mib = 1024 * kib;

    /** As the share has it. */
    class Staged {
      readonly guestPath = "/v/staging-1";
      readonly bytes = Buffer.alloc(stagingBytes);
      closed = 0;
      async write(data: Uint8Array, offset: number): Promise<void> {
        await Promise.resolve();
        this.bytes.set(data, offset);
      }
      async [Symbol.asyncDispose](): Promise<void> {
        await Promise.resolve();
        this.closed += 1;
      }
    }

    async function* numbered(bytes: number): AsyncGenerator<Uint8Array, void> {
      for (let at = 0; at < bytes; at += 64 * kib) {
        yield await Promise.resolve(Buffer.alloc(Math.min(64 * kib, bytes - at), at / (64 * kib)));
      }
    }

    /** Reads what is staged `late` parts after it was told. */
    function readingAgent(staged: Staged, into: Buffer[], seen: { most: number }, late = 0) {
      return {
        writeFile: (call: Parameters<AgentServiceServer["writeFile"]>[0]) => {
          const told: StagedPart[] = [];
          let taken = 0;
          const read = (left: number): void => {
            for (const { offset, length } of told.splice(0, Math.max(0, told.length - left))) {
              into.push(Buffer.from(staged.bytes.subarray(Number(offset), Number(offset) + length)));
              call.write({ entry: undefined, taken: (taken += 1) });
            }
          };
          call.on("data", (request: WriteFileRequest) => {
            if (request.data.length > 0) into.push(Buffer.from(request.data));
            if (request.staged !== undefined) told.push(request.staged);
            seen.most = Math.max(seen.most, told.length);
            if (request.end) read(0);
            else read(late);
          });
          call.on("end", () => {
            call.write({ entry, taken: 0 });
            call.end();
          });
        },
      };
    }

    for (const late of [0, 3]) {
      it(`go in parts, ${String(late)} of which wait, and are whole`, async () => {
        const staged = new Staged();
        const [into, seen] = [[] as Buffer[], { most: 0 }];
        const { files } = await connected(readingAgent(staged, into, seen, late));
        const bytes = 11 * mib + 5;
        await files.write(open, numbered(bytes), () => Promise.resolve(staged), neverAborted);
        const expected: Uint8Array[] = [];
        for await (const part of numbered(bytes)) expected.push(part);
        expect(Buffer.concat(into).equals(Buffer.concat(expected))).to.equal(true);
        expect(seen.most).to.equal(late + 1);
        expect(staged.closed).to.equal(1);
      });
    }

    it("ask for no place when they are short", async () => {
      const { files } = await connected(readingAgent(new Staged(), [], { most: 0 }));
      const never = () => Promise.reject(new Error("asked for"));
      await files.write(open, numbered(mib), never, neverAborted);
    });

    it("wait for an agent that takes none, and end with the caller's patience", async () => {
      const staged = new Staged();
      const caller = new AbortController();
      const { files } = await connected({
        writeFile: (call) => {
          call.on("data", (request: WriteFileRequest) => {
            if (request.staged?.offset === 3n * BigInt(mib)) caller.abort(new RuntimeError("canceled", "the caller"));
          });
        },
      });
      const state = { given: 0 };
      async function* body(): AsyncGenerator<Uint8Array, void> {
        for await (const part of numbered(64 * mib)) {
          state.given += part.length;
          yield part;
        }
      }
      const thrown = await failing(files.write(open, body(), () => Promise.resolve(staged), caller.signal));
      expect(thrown.message).to.equal("the caller");
      // One was streamed, four lie there, and one part of a message waits for its place.
      expect(state.given).to.be.at.most(5 * mib + 256 * kib);
      expect(staged.closed).to.equal(1);
    });

    for (const [what, answers] of [
      ["more than there are", [2]],
      ["fewer than before", [1, 0]],
    ] as const) {
      it(`end the channel when an agent takes ${what}`, async () => {
        const { files, broken } = await connected({
          writeFile: (call) => {
            call.on("data", (request: WriteFileRequest) => {
              if (request.staged === undefined) return;
              for (const taken of answers) call.write({ entry: undefined, taken });
            });
          },
        });
        const staged = new Staged();
        const write = files.write(open, numbered(2 * mib), () => Promise.resolve(staged), neverAborted);
        expect(await failing(write)).to.include({ code: "brokenContract" });
        expect(broken.aborted).to.equal(true);
        expect(staged.closed).to.equal(1);
      });
    }

    it("end the channel when an agent takes what was never staged", async () => {
      const { files, broken } = await connected({
        writeFile: (call) => {
          call.write({ entry: undefined, taken: 0 });
        },
      });
      expect(await failing(files.write(open, numbered(mib), noStaging, neverAborted))).to.include({
        code: "brokenContract",
      });
      expect(broken.aborted).to.equal(true);
    });
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
