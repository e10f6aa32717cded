import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { z } from "zod";
import { createLogger, type Logger } from "../../../src/base/log.js";
import { RecordDirectory, type RecordKind } from "../../../src/store/records.js";

const kind: RecordKind<{ version: 1; id: string; atNs: bigint }> = {
  name: "things",
  version: 1,
  schema: z.object({ version: z.literal(1), id: z.string(), atNs: z.bigint() }),
  idOf: ({ id }) => id,
};

describe("a directory of records", () => {
  let root: string;
  let lines: string[];
  let log: Logger;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "records-"));
    lines = [];
    log = createLogger("info", { write: (line) => lines.push(line) });
  });

  afterEach(async () => {
    await rm(root, { recursive: true });
  });

  const open = () => RecordDirectory.open(root, kind, log);
  const write = (file: string, text: string) => writeFile(join(root, "records/things", file), text);

  it("gives back after a restart what was written, nanoseconds to the last digit", async () => {
    const record = { version: 1 as const, id: "a", atNs: 1_764_000_000_123_456_789n };
    await (await open()).write(record);
    expect(await (await open()).load()).to.deep.equal([record]);
  });

  it("gives back what users have called as it calls its own marks", async () => {
    const words: RecordKind<{ id: string; labels: Record<string, string>; atNs: bigint }> = {
      name: "words",
      version: 1,
      schema: z.object({ id: z.string(), labels: z.record(z.string(), z.string()), atNs: z.bigint() }),
      idOf: ({ id }) => id,
    };
    const record = { id: "a", labels: { $bigint: "12", $$bigint: "x", $: "" }, atNs: 3n };
    await (await RecordDirectory.open(root, words, log)).write(record);
    expect(await (await RecordDirectory.open(root, words, log)).load()).to.deep.equal([record]);
  });

  it("upgrades a record of an earlier version, and sets aside what the upgrade can't read", async () => {
    const newer: RecordKind<{ version: 2; id: string; ns: bigint }> = {
      name: "things",
      version: 2,
      schema: z.object({ version: z.literal(2), id: z.string(), ns: z.bigint() }),
      upgrade: (raw) => {
        const { id, atNs } = z.object({ id: z.string(), atNs: z.bigint() }).parse(raw);
        return { version: 2, id, ns: atNs };
      },
      idOf: ({ id }) => id,
    };
    await (await open()).write({ version: 1, id: "a", atNs: 7n });
    await write("b.json", '{"version":1,"id":"b"}');
    const directory = await RecordDirectory.open(root, newer, log);
    expect(await directory.load()).to.deep.equal([{ version: 2, id: "a", ns: 7n }]);
    expect(await readdir(join(root, "quarantine"))).to.have.length(1);
    expect(await readFile(join(root, "records/things/a.json"), "utf8")).to.contain('"version":1');
  });

  it("forgets what was removed, twice too", async () => {
    const directory = await open();
    await directory.write({ version: 1, id: "a", atNs: 1n });
    await directory.remove("a");
    await directory.remove("a");
    expect(await directory.load()).to.deep.equal([]);
  });

  for (const [what, text] of [
    ["is cut off", '{"version":1,"id":"b","at'],
    ["is empty", ""],
    ["is of an unknown version", '{"version":2,"id":"b","atNs":{"$bigint":"1"}}'],
    ["lacks a member", '{"version":1,"id":"b"}'],
    ["is another's", '{"version":1,"id":"c","atNs":{"$bigint":"1"}}'],
  ] as const) {
    it(`sets a record aside that ${what}, names it, and loads the others`, async () => {
      const directory = await open();
      await directory.write({ version: 1, id: "a", atNs: 1n });
      await write("b.json", text);
      expect((await directory.load()).map(({ id }) => id)).to.deep.equal(["a"]);
      const [aside = ""] = await readdir(join(root, "quarantine"));
      expect(aside).to.match(/^things-\d+-b\.json$/);
      expect(await readFile(join(root, "quarantine", aside), "utf8")).to.equal(text);
      expect(lines.join("")).to.include("things/b.json");
      expect((await directory.load()).map(({ id }) => id)).to.deep.equal(["a"]);
    });
  }

  it("loads the others when a record can't even be set aside", async () => {
    const directory = await open();
    await directory.write({ version: 1, id: "a", atNs: 1n });
    await write("b.json", "?");
    await writeFile(join(root, "quarantine"), "a file where the directory should be");
    expect((await directory.load()).map(({ id }) => id)).to.deep.equal(["a"]);
  });

  it("removes what an interrupted write has left", async () => {
    const directory = await open();
    await write("a.json.tmp", "{");
    await directory.load();
    expect(await readdir(join(root, "records/things"))).to.deep.equal([]);
  });

  it("opens a directory that is there already", async () => {
    await mkdir(join(root, "records/things"), { recursive: true });
    expect(await (await open()).load()).to.deep.equal([]);
  });
});
