import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { expect } from "chai";
import { createLogger } from "../../../src/base/log.js";
import { neverAborted } from "../../../src/base/signals.js";
import { giveMemoryBack } from "../../../src/vmm/give-memory-back.js";

describe("memory of paused Boxes", () => {
  let directory: string;
  const log = createLogger("error", { write: () => undefined });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "reclaim-"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  /** Of version 2 of cgroups, as far as it is looked at. */
  async function group(name: string): Promise<string> {
    const path = join(directory, name);
    await mkdir(path);
    await writeFile(join(path, "memory.current"), "4096\n");
    return path;
  }
  const given = (path: string, signal = neverAborted): Promise<void> =>
    giveMemoryBack([path], log, signal, () => Promise.resolve(true));

  it("is given back one Box after the other: a kernel that takes its time keeps one thread, not all", async () => {
    const [slow, quick, gone] = [await group("slow"), await group("quick"), await group("gone")];
    const pipe = join(slow, "memory.reclaim");
    await promisify(execFile)("mkfifo", [pipe]); // who writes waits for a reader
    const goesOn = new AbortController();
    const first = given(slow);
    await delay(500); // it writes by then: nothing tells of an open(2) that waits
    const all = [first, given(quick), given(gone, goesOn.signal)];
    await delay(100);
    const early = await readFile(join(quick, "memory.reclaim"), "utf8").catch(() => "nothing");
    goesOn.abort();
    await all[2];
    expect(await readFile(pipe, "utf8")).to.equal("4096");
    await Promise.all(all);
    expect(early).to.equal("nothing");
    expect(await readFile(join(quick, "memory.reclaim"), "utf8")).to.equal("4096");
    expect(await readFile(join(gone, "memory.reclaim"), "utf8").catch(() => "nothing")).to.equal("nothing");
  });
});
