import { expect } from "chai";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lastLines, printable, tailOf } from "../../../src/vmm/console.js";

describe("a guest's console", () => {
  let directory = "";
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-console-"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it("loses its control characters before it gets into a message", () => {
    expect(printable("a\u001b[2Jb\r\nc\td\u0000\u009b\u202ee")).to.equal("a?[2Jb\nc\td???e");
  });

  it("is cut to its end", async () => {
    const path = join(directory, "console");
    await writeFile(path, `${"x".repeat(10_000)}\nlast line\n`);
    expect(await tailOf(path))
      .to.have.length.below(4097)
      .and.match(/xx\nlast line$/);
    expect(lastLines("1\n2\n3\n4", 2)).to.equal("3 | 4");
  });

  it("is empty when there is none", async () => {
    expect(await tailOf(join(directory, "absent"))).to.equal("");
  });
});
