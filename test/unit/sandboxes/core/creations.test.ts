import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { codeOf } from "../../../../src/base/errors.js";
import { createLogger } from "../../../../src/base/log.js";
import { neverAborted } from "../../../../src/base/signals.js";
import { configOf, parseFile } from "../../../../src/config/load.js";
import { Metrics } from "../../../../src/metrics/metrics.js";
import type { Core } from "../../../../src/sandboxes/core/core.js";
import { EngineSandboxes } from "../../../../src/sandboxes/core/engine-sandboxes.js";
import { Lives } from "../../../../src/sandboxes/core/lives.js";
import { RecordStore } from "../../../../src/sandboxes/core/store.js";

const caller = { tenant: "team", name: "token ci" };
const wanted = { template: "busybox:1", env: {}, metadata: {}, mounts: [] };

describe("creations of sandboxes at once", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "a3s-creations-"));
  });
  afterEach(async () => {
    await rm(root, { recursive: true });
  });

  /** Real records, and an engine whose images nobody can find. */
  async function opened(toml: string): Promise<{ readonly sandboxes: EngineSandboxes; readonly records: RecordStore }> {
    const log = createLogger("error", { write: () => undefined });
    const records = await RecordStore.open(root, log);
    const whole = configOf(parseFile(`[sandboxes]\nname_servers = ["192.0.2.53"]\npull = "never"\n${toml}`, "test"));
    const engine = { config: whole, closing: neverAborted, images: { find: () => Promise.resolve(undefined) } };
    const core = {
      engine,
      records,
      log,
      config: whole.sandboxes,
      figures: new Metrics().agentSandboxes,
    } as unknown as Core;
    return { sandboxes: new EngineSandboxes(core, new Lives(core)), records };
  }

  it("are as many as the quota has room for, and what failed gives its room back", async () => {
    const { sandboxes, records } = await opened("[sandboxes.quota]\nsandboxes = 2\n");
    for (const round of ["first", "second"]) {
      const ends = await Promise.allSettled([1, 2, 3, 4, 5].map(() => sandboxes.create(caller, wanted, neverAborted)));
      const codes = ends.map((end) => (end.status === "rejected" ? codeOf(end.reason) : "made"));
      expect(codes.sort(), round).to.deep.equal([
        ...["notFound", "notFound"],
        ...["resourceExhausted", "resourceExhausted", "resourceExhausted"],
      ]);
      await sandboxes.idle();
      expect(records.all()).to.deep.equal([]);
    }
  });
});
