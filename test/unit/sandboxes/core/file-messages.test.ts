import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { FileEntry } from "../../../../src/gen/agent/v1/agent.js";
import {
  agentAttributes,
  checkedMode,
  checkedPath,
  checkedText,
  entryOf,
} from "../../../../src/sandboxes/core/file-messages.js";
import { fuzz } from "../../../support/fuzzing/run.js";

const entry = FileEntry.fromPartial({
  path: Buffer.from("/work/ä"),
  kind: 3,
  sizeBytes: 7n,
  mode: 0o120777,
  uid: 1,
  gid: 2,
  owner: Buffer.from("me"),
  group: Buffer.from("2"),
  modifiedAtNs: 1_700_000_000_123_456_789n,
  target: Buffer.from([0x61, 0xff]),
});

describe("messages about files", () => {
  it("become entries, with names that are text", () => {
    expect(entryOf(entry)).to.deep.equal({
      name: "ä",
      path: "/work/ä",
      kind: "link",
      sizeBytes: 7,
      mode: 0o777,
      uid: 1,
      gid: 2,
      owner: "me",
      group: "2",
      modifiedAtMs: 1_700_000_000_123,
      target: "a\uFFFD",
    });
    expect(entryOf(Object.assign({}, entry, { kind: 77 })))
      .to.include({ kind: "other" })
      .and.not.have.property("target");
  });

  it("have attributes, but for those that are no text", () => {
    const named = (name: string, value: Uint8Array): { name: Buffer; value: Uint8Array } => ({
      name: Buffer.from(name),
      value,
    });
    const attributes = [
      named("user.a", Buffer.from("ä")),
      named("user.b", Buffer.from([0xff])),
      named("user.c", Buffer.of()),
    ];
    const wrong = { name: Buffer.from([0xc3]), value: Buffer.of() };
    const told = entryOf(Object.assign({}, entry, { attributes: [...attributes, wrong] })).attributes;
    expect([...(told ?? [])]).to.deep.equal([
      ["user.a", "ä"],
      ["user.c", ""],
    ]);
    expect(agentAttributes(told).map(({ name }) => Buffer.from(name).toString())).to.deep.equal(["user.a", "user.c"]);
  });

  it("are made of paths, users and modes that can be some", () => {
    expect(Buffer.from(checkedPath("a/ä")).toString()).to.equal("a/ä");
    for (const wrong of [
      () => checkedPath(""),
      () => checkedPath("a\0b"),
      () => checkedPath("ä".repeat(2049)),
      () => checkedText("a".repeat(257), "user"),
      () => checkedMode(0o10000),
      () => checkedMode(-1),
      () => checkedMode(0.5),
    ]) {
      expect(wrong).to.throw(RuntimeError).with.property("code", "invalidArgument");
    }
  });

  it("take any path, and none that the contract forbids, damaged ones too", async function () {
    this.timeout(30_000);
    const outcome = await fuzz({
      name: "file-paths",
      seeds: ["/work/a", "../..//a/./b", "~/ä", "a".repeat(4096)],
      words: ["..", "/", "~", "\0", "ä"],
      tried(input) {
        try {
          const path = checkedPath(input.toString("utf8"));
          if (path.length === 0 || path.length > 4096 || path.includes(0)) throw new Error("the contract forbids it");
          return true;
        } catch (thrown) {
          if (thrown instanceof RuntimeError && thrown.code === "invalidArgument") return false;
          throw thrown;
        }
      },
    });
    expect(outcome.taken).to.be.above(0);
  });

  it("never take the daemon down, whatever an agent says of a file", async function () {
    this.timeout(30_000);
    await fuzz({
      name: "file-entries",
      seeds: [FileEntry.encode(entry).finish()],
      tried(input) {
        let decoded;
        try {
          decoded = FileEntry.decode(input);
        } catch {
          return false;
        }
        const { mode, name } = entryOf(decoded);
        if (mode > 0o7777 || name.includes("/")) throw new Error("not an entry");
        return true;
      },
    });
  });
});
