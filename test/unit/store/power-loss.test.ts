import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { z } from "zod";
import { createLogger } from "../../../src/base/log.js";
import { RecordDirectory, type RecordKind } from "../../../src/store/records.js";
import { cuts, Disk, writeState, type DiskState } from "../../support/power-loss/disk.js";
import { record } from "../../support/power-loss/recorder.js";

const kind: RecordKind<{ version: 1; id: string; text: string }> = {
  name: "things",
  version: 1,
  schema: z.object({ version: z.literal(1), id: z.string(), text: z.string() }),
  idOf: ({ id }) => id,
};
const log = createLogger("error");

interface Moment {
  readonly state: DiskState;
  readonly where: string;
  /** Either of them; "" is none. */
  readonly allowed: readonly string[];
}

describe("a power cut at any step of a record's life", () => {
  let top: string;
  beforeEach(async () => {
    top = await mkdtemp(join(tmpdir(), "a3s-power-"));
  });
  afterEach(async () => {
    await rm(top, { recursive: true });
  });

  async function live(): Promise<Moment[]> {
    const root = join(top, "live");
    const moments: Moment[] = [];
    let allowed: readonly string[] = [""];
    const disk = new Disk(root);
    using recording = record(disk, () => {
      for (const cut of cuts) moments.push({ state: disk.after(cut), where: `${moments.length} ${cut}`, allowed });
    });
    expect(recording).to.not.equal(undefined);
    const directory = await RecordDirectory.open(root, kind, log);
    const become = async (from: string, to: string): Promise<void> => {
      allowed = [from, to];
      if (to === "") await directory.remove("a");
      else await directory.write({ version: 1, id: "a", text: to });
      allowed = [to];
    };
    await become("", "first");
    await become("first", "second, and longer than the first");
    await become("second, and longer than the first", "");
    await become("", "third");
    return moments;
  }

  it("leaves the old record or the new one, and sets nothing aside", async () => {
    const moments = await live();
    expect(moments.length).to.be.greaterThan(3 * 4 * 3);
    for (const { state, where, allowed } of moments) {
      const root = await mkdtemp(join(top, "cut-"));
      await writeState(state, root);
      const records = await (await RecordDirectory.open(root, kind, log)).load();
      expect(allowed, where).to.include(records[0]?.text ?? "");
      expect(await readdir(root), where).to.deep.equal(["records"]);
      await rm(root, { recursive: true });
    }
  });

  it("would take a file that is renamed and not synced", async () => {
    const root = join(top, "live");
    const disk = new Disk(root);
    const states: DiskState[] = [];
    {
      using recording = record(disk, () => states.push(...cuts.map((cut) => disk.after(cut))));
      expect(recording).to.not.equal(undefined);
      await mkdir(root);
      await writeFile(join(root, "new"), "content");
      await rename(join(root, "new"), join(root, "file"));
    }
    const found = new Set(states.slice(-3).map((state) => state.get("file")?.toString()));
    expect([...found]).to.deep.equal([undefined, "", "con"]);
  });
});
