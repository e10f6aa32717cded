import { expect } from "chai";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deathIn, lastLines, printable, tailOf } from "../../../src/vmm/console.js";

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

  it("names what a kernel has died of, which stands far above its last lines", () => {
    const report = [
      "[    0.100000] Run /sbin/init as init process",
      "[    2.349100] BUG: kernel NULL pointer dereference, address: 0000000000000008",
      "[    2.349110] CPU: 0 UID: 0 PID: 1 Comm: init Not tainted 6.12.0 #1",
      "[    2.349120] RIP: 0010:some_function+0x12/0x40",
      ...Array.from({ length: 30 }, (_, at) => `[    2.34${String(at).padStart(4, "0")}] R13: 0000000000000002`),
      "[    2.350000] Kernel panic - not syncing: Fatal exception",
      "[    2.350108] Kernel Offset: disabled",
    ];
    expect(deathIn(report.join("\n"))).to.equal(
      [
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "CPU: 0 UID: 0 PID: 1 Comm: init Not tainted 6.12.0 #1",
        "RIP: 0010:some_function+0x12/0x40",
        "Kernel panic - not syncing: Fatal exception",
      ].join(" | "),
    );
    expect(deathIn("[    0.1] all is well\nand goes on")).to.equal("");
  });

  it("is empty when there is none", async () => {
    expect(await tailOf(join(directory, "absent"))).to.equal("");
  });
});
