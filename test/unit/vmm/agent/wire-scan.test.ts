import "../../../support/fuzz.js";
import { expect } from "chai";
import fc from "fast-check";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError } from "../../../../src/base/errors.js";
import {
  AgentServiceService,
  HelloResponse,
  ListSessionsResponse,
  SessionState,
  StatsResponse,
  SyncSubmountsResponse,
} from "../../../../src/gen/agent/v1/agent.js";
import { answerBounds, longestAnswer, type AgentPath } from "../../../../src/vmm/agent/answer-bounds.js";
import { scanMessage, type MessageBound } from "../../../../src/vmm/agent/wire-scan.js";
import { times } from "../../../support/fuzz.js";
import { projectDirectory } from "../../../support/project.js";

type Method = keyof typeof AgentServiceService;

function refusal(path: AgentPath, bytes: Uint8Array): string | undefined {
  try {
    scanMessage(bytes, answerBounds[path]);
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof RuntimeError) || thrown.code !== "brokenContract") throw thrown;
    return thrown.message;
  }
}

const list = AgentServiceService.listSessions.path;
const stats = AgentServiceService.stats.path;
const hello = AgentServiceService.hello.path;
const submounts = AgentServiceService.syncSubmounts.path;

const session = { sessionId: "s", state: SessionState.RUNNING, pid: 1, createdAtNs: 1n, startedAtNs: 0n };
const sessionsOf = (count: number, execs: number): Uint8Array =>
  ListSessionsResponse.encode({
    sessions: Array.from({ length: count }, () => ({
      ...session,
      exit: undefined,
      execIds: Array.from({ length: execs }, () => "e"),
    })),
  }).finish();

/** What the decoder finds of each repeated field. */
const decoders = [
  { path: hello, of: (bytes: Uint8Array) => [HelloResponse.decode(bytes).hugePageKib.length], most: [32] },
  {
    path: list,
    of: (bytes: Uint8Array) => {
      const { sessions } = ListSessionsResponse.decode(bytes);
      return [sessions.length, sessions.reduce((sum, { execIds }) => sum + execIds.length, 0)];
    },
    most: [512, 4096],
  },
  {
    path: stats,
    of: (bytes: Uint8Array) => {
      const { sessions, guest } = StatsResponse.decode(bytes);
      return [sessions.length, guest?.interfaces.length ?? 0];
    },
    most: [512, 256],
  },
  { path: submounts, of: (bytes: Uint8Array) => [SyncSubmountsResponse.decode(bytes).inUse.length], most: [2048] },
];

/** Bytes that look like fields, right and wrong, one in another. */
function wireBytes(): fc.Arbitrary<Uint8Array> {
  const varint = fc.oneof(fc.bigInt(0n, 2n ** 70n), fc.bigInt(0n, 300n)).map((value) => {
    const bytes: number[] = [];
    let rest = value;
    for (; rest > 127n; rest /= 128n) bytes.push(Number(rest % 128n) + 128);
    return Buffer.from([...bytes, Number(rest)]);
  });
  const { all } = fc.letrec<{ all: Buffer; field: Buffer }>((tie) => ({
    all: fc.array(tie("field"), { maxLength: 40 }).map((fields) => Buffer.concat(fields)),
    field: fc.oneof(
      { maxDepth: 4 },
      fc.tuple(fc.nat({ max: 255 }), varint).map(([tag, value]) => Buffer.concat([Buffer.from([tag % 128]), value])),
      fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
      fc.constant(Buffer.alloc(600, Buffer.from([0x0a, 0]))),
      fc
        .tuple(fc.constantFrom(0x0a, 0x12, 0x1a, 0x3a, 0x42, 0x32), tie("all"), fc.constantFrom(0, 0, 0, 1, -1))
        .map(([tag, inner, lie]) => {
          const length = Math.max(0, inner.length + lie);
          return Buffer.concat([Buffer.from([tag, (length % 128) + 128, Math.floor(length / 128)]), inner]);
        }),
    ),
  }));
  return all;
}

describe("what is counted before an agent's message is decoded", () => {
  it("takes the largest pod that the agent allows, and no more", () => {
    expect(refusal(list, sessionsOf(512, 8))).to.equal(undefined);
    expect(refusal(list, sessionsOf(513, 0))).to.include("more than 512 sessions");
    expect(refusal(list, sessionsOf(17, 241))).to.include("more than 4096 sessions.exec_ids");
  });

  it("counts packed numbers, and those that stand alone", () => {
    const packed = Buffer.concat([Buffer.from([0x42, 33]), Buffer.alloc(33, 1)]);
    const alone = Buffer.alloc(66, Buffer.from([0x40, 1]));
    for (const bytes of [packed, alone]) expect(refusal(hello, bytes)).to.include("more than 32 huge_page_kib");
    expect(refusal(hello, packed.subarray(0, 0))).to.equal(undefined);
  });

  it("counts what is in messages that the decoder would throw away", () => {
    const guest = Buffer.concat([Buffer.from([0x12, 0xac, 0x02]), Buffer.alloc(300, Buffer.from([0x1a, 0]))]);
    expect(refusal(stats, guest)).to.equal(undefined);
    expect(StatsResponse.decode(Buffer.concat([guest, guest])).guest?.interfaces.length).to.equal(150);
    expect(refusal(stats, Buffer.concat([guest, guest]))).to.include("more than 256 guest.interfaces");
  });

  it("refuses at once what has too many fields or bytes, of whatever kind", () => {
    const began = performance.now();
    for (const path of [list, stats, submounts]) {
      expect(refusal(path, Buffer.alloc(16 << 20, Buffer.from([0x0a, 0])))).to.include("bytes");
      expect(refusal(path, Buffer.alloc(500_000, Buffer.from([0x78, 0])))).to.include("fields");
      expect(refusal(path, Buffer.alloc(500_000, Buffer.from([0x0a, 0])))).to.include("more than");
    }
    expect(performance.now() - began).to.be.below(1000);
  });

  it("refuses fields that the decoder would read in another way", () => {
    const cases = {
      "the end of a group": [0x0a, 2, 0x0c, 0],
      "a group": [0x0b, 0x0c],
      "a tag of nothing": [0x0a, 2, 0, 0],
      "a field that reaches out of its message": [0x0a, 2, 0x0a, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1],
      "a tag of more than 32 bits": [0x8a, 0x80, 0x80, 0x80, 0x10, 0],
      "a tag without an end": [0x8a],
      "a length without an end": [0x0a, 0x80],
      "a number without an end": [0x08, 0x80],
    };
    for (const [what, bytes] of Object.entries(cases)) {
      expect(refusal(list, Buffer.from(bytes)), what).to.be.a("string");
    }
  });

  it("never lets through what its bounds forbid, whatever the bytes", () => {
    let accepted = 0;
    fc.assert(
      fc.property(wireBytes(), (bytes) => {
        for (const { path, of, most } of decoders) {
          if (refusal(path, bytes) !== undefined) continue;
          let counts: number[] = [];
          try {
            counts = of(bytes);
          } catch {
            continue; // text that is no UTF-8, and the like: the decoder refuses it
          }
          accepted += 1;
          for (const [at, count] of counts.entries()) expect(count).to.be.at.most(most[at] ?? 0);
        }
      }),
      times(3),
    );
    expect(accepted).to.be.above(100);
  });

  it("finds what the decoder finds in messages that are well made", () => {
    const name = fc.string({ maxLength: 5 });
    const made = fc.array(fc.array(name, { maxLength: 6 }), { maxLength: 6 });
    fc.assert(
      fc.property(made, fc.nat(7), fc.nat(40), (execs, mostSessions, mostExecs) => {
        const sessions = execs.map((execIds) => ({ ...session, exit: undefined, execIds }));
        const bytes = ListSessionsResponse.encode({ sessions }).finish();
        const inner: MessageBound = { 7: { name: "execs", most: mostExecs } };
        const message = { 1: { name: "sessions", most: mostSessions, message: inner } };
        const isWithin = execs.length <= mostSessions && execs.flat().length <= mostExecs;
        const scan = (): void => {
          scanMessage(bytes, { bytes: bytes.length, fields: 1000, message });
        };
        if (isWithin) scan();
        else expect(scan).to.throw(RuntimeError);
      }),
      times(3),
    );
  });
});

/** A message's fields in the .proto, as "repeated Type name = number". */
interface ProtoField {
  readonly repeated: boolean;
  readonly type: string;
  readonly number: number;
}

function messagesOf(proto: string): ReadonlyMap<string, readonly ProtoField[]> {
  const found = new Map<string, ProtoField[]>();
  for (const [, name = "", body = ""] of proto.matchAll(/^message (\w+) \{(.*?)\}$/gms)) {
    const fields = body.matchAll(/^\s*(repeated |map<)?([\w, >]+?) (\w+) = (\d+);/gm);
    const field = ([, repeated, type = "", , number]: RegExpMatchArray): ProtoField => ({
      repeated: repeated !== undefined,
      type,
      number: Number(number),
    });
    found.set(name, [...fields].map(field));
  }
  return found;
}

describe("the bounds of the agent's answers", () => {
  it("know every repeated field and every nested message of the contract", async () => {
    const proto = await readFile(join(projectDirectory, "proto/agent/v1/agent.proto"), "utf8");
    const messages = messagesOf(proto);
    const seen: string[] = [];
    const compare = (type: string, bound: MessageBound): void => {
      for (const field of messages.get(type) ?? []) {
        const known = bound[field.number];
        const where = `${type}, field ${String(field.number)}`;
        if (field.repeated) {
          seen.push(where);
          expect(known?.most, where).to.be.a("number");
        }
        if (!messages.has(field.type)) continue;
        expect(known?.message, where).to.be.an("object");
        compare(field.type, known?.message ?? {});
      }
    };
    for (const [, method = "", answer = ""] of proto.matchAll(/rpc (\w+)\(.*?\) returns \((?:stream )?(\w+)\)/g)) {
      const bounds = Object.entries(answerBounds).find(([path]) => path.endsWith(`/${method}`))?.[1];
      expect(messages.has(answer), answer).to.equal(true);
      compare(answer, bounds?.message ?? {});
    }
    expect(seen).to.have.length(15);
  });

  it("are between 64 KiB and 1 MiB for each method", () => {
    const methods: Method[] = Object.keys(AgentServiceService).filter(
      (name): name is Method => name in AgentServiceService,
    );
    expect(methods).to.have.length(31);
    for (const name of methods) {
      const { bytes } = answerBounds[AgentServiceService[name].path];
      expect(bytes, name).to.be.within(64 * 1024, 1024 * 1024);
    }
    expect(longestAnswer).to.equal(1024 * 1024);
  });
});
