import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileServerFinding } from "../../src/cli/file-server-finding.js";
import { loadConfig } from "../../src/config/load.js";
import type { Config } from "../../src/config/config.js";
import { projectDirectory } from "../support/project.js";
import { Scratch } from "./scratch.js";

describe("check, of a Box's file server", () => {
  const configOf = async (scratch: Scratch): Promise<Config> => {
    const config = await loadConfig({ root: scratch.in("root/of/it"), state: scratch.in("state") });
    return { ...config, assets: { ...config.assets, dir: join(projectDirectory, "build/assets") } };
  };

  it("says whose rights it has, before the daemon has any directory, and makes none", async () => {
    await using scratch = await Scratch.make();
    expect(await fileServerFinding(await configOf(scratch))).to.include({ verdict: "OK" });
    expect(await readdir(scratch.path)).to.deep.equal([]);
  });

  it("says that they are root's where owners can't be mapped, and what would help", async () => {
    await using scratch = await Scratch.make();
    await mkdir(scratch.in("root"));
    execFileSync("mount", ["-t", "ramfs", "none", scratch.in("root")]);
    const found = await fileServerFinding(await configOf(scratch));
    expect(found).to.include({ verdict: "optional" });
    expect(found.detail).to.match(/^root of the host: .* does not map .*EINVAL/);
    expect(found.remedy).to.match(/Linux 6\.3/);
  });
});
