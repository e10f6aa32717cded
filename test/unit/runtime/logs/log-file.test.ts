import { expect } from "chai";
import { mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createLogger } from "../../../../src/base/log.js";
import { lineParts, parseStamp } from "../../../../src/runtime/logs/log-format.js";
import { LogFile } from "../../../../src/runtime/logs/log-file.js";

const log = createLogger("error");
const timeNs = 1_700_000_000_123_456_789n;

function line(ns: bigint, text: string): Buffer {
  return Buffer.concat(lineParts(ns, "stdout", { content: Buffer.from(text), partial: false }));
}

describe("LogFile", () => {
  let directory: string;
  let path: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-log-"));
    path = join(directory, "pod", "app", "0.log");
  });

  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it("makes the file, readable by owner and group at most, with its directories", async () => {
    const file = await LogFile.open(path, log);
    await file.append(line(timeNs, "hello"));
    await file.close();
    expect(await readFile(path, "utf8")).to.equal("2023-11-14T22:13:20.123456789Z stdout F hello\n");
    expect((await stat(path)).mode & 0o137).to.equal(0);
  });

  it("has made the new file when reopen resolves, and leaves the old one alone", async () => {
    const file = await LogFile.open(path, log);
    await file.append(line(1n, "old"));
    await rename(path, `${path}.20260102-030405`);
    await file.reopen();
    expect((await stat(path)).size).to.equal(0);
    await file.append(line(2n, "new"));
    await file.close();
    expect(await readFile(`${path}.20260102-030405`, "utf8")).to.match(/ old\n$/);
    expect(await readFile(path, "utf8")).to.match(/ new\n$/);
  });

  it("never follows a link at its own place", async () => {
    await symlink("/etc/passwd", join(directory, "link.log"));
    const failure = await LogFile.open(join(directory, "link.log"), log).then(
      () => "",
      (thrown: unknown) => String(thrown),
    );
    expect(failure).to.include("symbolic link");
  });

  it("knows the time of its last line and cuts off a torn one", async () => {
    const file = await LogFile.open(path, log);
    await file.append(Buffer.concat([line(timeNs, "one"), line(timeNs + 7n, "two")]));
    await file.close();
    await writeFile(path, "2023-11-14T22:13:21.0", { flag: "a" });
    const again = await LogFile.open(path, log);
    expect(await again.lastStamp()).to.equal(timeNs + 7n);
    await again.close();
    expect(await readFile(path, "utf8")).to.match(/ two\n$/);
  });

  it("takes the time of the last line from the newest rotated file when its own is empty", async () => {
    const file = await LogFile.open(path, log);
    await file.append(line(timeNs, "rotated"));
    await file.close();
    await rename(path, `${path}.20260102-030405`);
    await writeFile(`${path}.20250102-030405`, line(5n, "older"));
    const again = await LogFile.open(path, log);
    expect(await again.lastStamp()).to.equal(timeNs);
    await again.close();
  });

  it("has no more than its most bytes, with what it was before, where nobody else rotates it", async () => {
    const mostBytes = 10_000;
    const file = await LogFile.open(path, log, undefined, mostBytes);
    const text = "x".repeat(200);
    for (let at = 0; at < 200; at += 1) await file.append(line(timeNs + BigInt(at), text));
    const names = await readdir(dirname(path));
    expect(names).to.have.length(2);
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(dirname(path), name))).size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).to.be.below(mostBytes + 500);
    expect(await file.lastStamp()).to.equal(timeNs + 199n);
    await file.close();
    const again = await LogFile.open(path, log, undefined, mostBytes);
    for (let at = 200; at < 230; at += 1) await again.append(line(timeNs + BigInt(at), text));
    expect(await readdir(dirname(path))).to.have.length(2);
    await again.close();
  });

  it("gives up on a full disk without failing or blocking", async () => {
    const warnings: string[] = [];
    const full = await LogFile.open(path, createLogger("warn", { write: (text) => void warnings.push(text) }));
    await full.close(); // every write now fails
    await full.append(line(1n, "lost"));
    await full.append(line(2n, "lost too"));
    expect(warnings.filter((text) => text.includes("log lines dropped"))).to.have.length(1);
  });

  it("reads no time where there is none", () => {
    expect(parseStamp("2023-11-14")).to.equal(undefined);
    expect(parseStamp("2023-11-14T22:13:20.123456789Z")).to.equal(timeNs);
  });
});
