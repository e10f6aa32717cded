import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { nowNs, WallClock } from "../../../src/base/clock.js";
import { RuntimeError, errnoOf, inStage } from "../../../src/base/errors.js";
import { containerId, digest, newBoxId, boxId, shortId } from "../../../src/base/ids.js";
import { createLogger, redactedPaths } from "../../../src/base/log.js";
import { decodeRecord, encodeRecord, readRecord, removeRecord, writeRecord } from "../../../src/base/record-file.js";
import "../../support/fuzz.js";

describe("an error", () => {
  it("says its stage first and what to do last", () => {
    const error = new RuntimeError("unavailable", "connection refused", { stage: "pull", hint: "start the registry" });
    expect(error.message).to.equal("pull: connection refused (start the registry)");
  });

  it("keeps its code when a stage is put before it, and is internal when it had none", () => {
    expect(inStage("create", new RuntimeError("notFound", "x"))).to.include({ code: "notFound", message: "create: x" });
    expect(inStage("create", new Error("y"))).to.include({ code: "internal", message: "create: y" });
  });

  it("has an errno only when the system gave one", () => {
    expect(errnoOf(Object.assign(new Error(), { code: "ENOENT" }))).to.equal("ENOENT");
    expect(errnoOf(Object.assign(new Error(), { code: "ERR_X_Y" }))).to.equal(undefined);
    expect(errnoOf("ENOENT")).to.equal(undefined);
  });
});

describe("ids", () => {
  it("are 64 digits, never the same, and checked at the door", () => {
    const id = newBoxId();
    expect(boxId(id)).to.equal(id);
    expect(newBoxId()).not.to.equal(id);
    for (const wrong of ["", "abc", id.toUpperCase().replace(/[0-9]/g, "A"), `${id}0`, `../${id.slice(3)}`]) {
      expect(() => boxId(wrong)).to.throw(RuntimeError, "is not the id of a Box");
      expect(() => containerId(wrong)).to.throw(RuntimeError, "is not a container id");
    }
  });

  it("are shown by their first twelve digits, digests too", () => {
    const hex = "0123456789ab".padEnd(64, "c");
    expect(shortId(digest(`sha256:${hex}`))).to.equal("0123456789ab");
    expect(() => digest(hex)).to.throw("is not a sha256 digest");
  });
});

describe("the wall clock", () => {
  it("never gives a time twice", () => {
    const times = Array.from({ length: 1000 }, nowNs);
    expect(times.every((time, index) => index === 0 || time > (times[index - 1] ?? 0n))).to.equal(true);
  });

  it("goes with the machine's when that is set back, and creations stay in their order", () => {
    let wall = 10_000_000_000_000n;
    const clock = new WallClock(() => wall);
    expect([clock.now(), clock.created()]).to.deep.equal([wall, wall + 1n]);
    const before = clock.created();
    wall -= 3_600_000_000_000n;
    expect(clock.now()).to.equal(wall);
    expect(clock.created() > before).to.equal(true);
    wall += 5_000_000_000n;
    expect(clock.now()).to.equal(wall);
  });
});

describe("a record", () => {
  it("comes back as it was written, big numbers too", () => {
    const value = fc.letrec((tie) => ({
      node: fc.oneof(
        fc.string(),
        fc.bigInt(),
        fc.boolean(),
        fc.constant(null),
        fc.integer(),
        fc.array(tie("node"), { maxLength: 3 }),
        fc.dictionary(fc.string(), tie("node"), { maxKeys: 3, noNullPrototype: true }),
      ),
    })).node;
    fc.assert(
      fc.property(value, (record) => {
        const text = encodeRecord(record);
        expect(encodeRecord(decodeRecord(text))).to.equal(text);
      }),
    );
    expect(decodeRecord(encodeRecord({ atNs: 1_800_000_000_000_000_001n }))).to.deep.equal({
      atNs: 1_800_000_000_000_000_001n,
    });
  });

  it("is written whole, leaves no temporary file, and can be removed twice", async () => {
    const directory = await mkdtemp(join(tmpdir(), "record-"));
    try {
      const path = join(directory, "one.json");
      await writeRecord(path, { version: 1 });
      await writeRecord(path, { version: 2 });
      expect(await readRecord(path)).to.deep.equal({ version: 2 });
      expect(await readdir(directory)).to.deep.equal(["one.json"]);
      await removeRecord(path);
      await removeRecord(path);
      expect(await readdir(directory)).to.deep.equal([]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe("the log", () => {
  it("holds no credential and no environment, one level deep or two", () => {
    const lines: string[] = [];
    const log = createLogger("info", { write: (line) => void lines.push(line) });
    const secret = "s3cr3t";
    for (const path of redactedPaths) {
      const [outer, inner] = path.split(".");
      const fields = outer === "*" ? { request: { [inner ?? ""]: secret } } : { [outer ?? ""]: secret };
      log.info(fields, "called");
    }
    expect(lines).to.have.length(redactedPaths.length);
    expect(lines.join("")).not.to.contain(secret);
    expect(lines.join("")).to.contain("[redacted]");
  });
});
