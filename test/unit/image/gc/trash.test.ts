import { mock } from "node:test";
import { expect } from "chai";
import { createLogger } from "../../../../src/base/log.js";
import { neverAborted } from "../../../../src/base/signals.js";
import { Trash } from "../../../../src/image/gc/trash.js";

describe("trash that can't be taken off the disk", () => {
  let looks = 0;
  let trash: Trash;
  beforeEach(() => {
    mock.timers.enable({ apis: ["setTimeout"] });
    looks = 0;
    const parts = { directory: { trash: "/nowhere/trash", reserve: "/nowhere/reserve" }, native: {} };
    const log = createLogger("error", { write: () => undefined });
    trash = new Trash({ ...parts, log } as unknown as ConstructorParameters<typeof Trash>[0], () => (looks += 1));
  });
  afterEach(() => {
    mock.timers.reset();
  });

  async function looksAfter(ms: number): Promise<number> {
    looks = 0;
    mock.timers.tick(ms);
    await trash.gone(neverAborted);
    return looks;
  }

  it("is tried again after 0.25, 5 and 60 s, however many removals failed together", async () => {
    for (let at = 0; at < 4; at += 1) trash.begin();
    await trash.gone(neverAborted);
    expect([await looksAfter(250), await looksAfter(5_000), await looksAfter(60_000)]).to.deep.equal([1, 1, 1]);
    expect(await looksAfter(600_000)).to.equal(0);
  });

  it("is left to the next process once the store is closed", async () => {
    trash.begin();
    await trash.close();
    expect(await looksAfter(600_000)).to.equal(0);
  });
});
