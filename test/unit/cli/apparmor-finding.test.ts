import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { apparmorFinding } from "../../../src/cli/apparmor-finding.js";
import { configOf } from "../../../src/config/load.js";

describe("what check says of AppArmor", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-finding-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it("is whether the default profile was made, and where others come from", async () => {
    const config = configOf(new Map([["assets.dir", { value: directory, from: "test" }]]));
    const parameter = join(directory, "enabled");
    expect(await apparmorFinding(config, parameter)).to.include({ verdict: "optional" });
    await mkdir(join(directory, "apparmor"));
    await writeFile(join(directory, "apparmor/a3s-box-default"), "policy");
    const without = await apparmorFinding(config, parameter);
    expect(without).to.include({ verdict: "OK" });
    expect(without.detail).to.match(/this machine's has none: Localhost is in \/etc\/a3s-box\/apparmor/);
    await writeFile(parameter, "Y\n");
    expect((await apparmorFinding(config, parameter)).detail).to.match(/pods of the host; Localhost: loaded here/);
  });
});
