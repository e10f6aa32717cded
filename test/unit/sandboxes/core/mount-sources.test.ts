import { expect } from "chai";
import { neverAborted } from "../../../../src/base/signals.js";
import type { Core } from "../../../../src/sandboxes/core/core.js";
import { checkSkills } from "../../../../src/sandboxes/core/mount-sources.js";

describe("directories that skills come from", () => {
  /** A host where `/data/link` leads elsewhere below `/data`, and whose file system nobody but its lookups may ask. */
  const core = {
    config: { everyone: { mounts: ["/data"] }, tenants: {} },
    engine: {
      containers: {
        lookups: { lookUp: (path: string) => Promise.resolve({ path: path === "/data/link" ? "/data/real" : "/etc" }) },
      },
    },
  } as unknown as Core;
  const of = (path: string) =>
    checkSkills({ trusted: false, directories: [path] }, "tenant", core, neverAborted).catch(String);

  it("are what they were found to be, and not looked up again by who would wait for a dead disk", async () => {
    expect(await of("/data/link")).to.deep.equal([{ within: "/data", path: "/data/real" }]);
  });

  it("are refused outside of what the tenant may mount, also by a link", async () => {
    expect(await of("/data/out")).to.contain("tenant may not mount /data/out");
    expect(await of("/other")).to.contain("tenant may not mount /other");
  });
});
