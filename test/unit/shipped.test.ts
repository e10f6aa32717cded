/** That what is shipped to run in a container agrees with what a Box needs. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadYaml } from "@kubernetes/client-node";
import { expect } from "chai";
import { packageVersion } from "../../src/base/version.js";
import { neededCapabilities } from "../../src/cli/rights-findings.js";
import { loadConfig } from "../../src/config/load.js";
import { containerSeccomp } from "../../scripts/release/container-seccomp.js";
import { packageOf } from "../../scripts/release/npm-parts.js";
import { checksumsOf } from "../../scripts/release/crate-parts.js";
import { projectDirectory } from "../support/project.js";

interface Compose {
  readonly services: {
    readonly "a3s-box": { readonly cap_add: string[]; readonly cap_drop: string[]; readonly image: string };
  };
}

describe("what is shipped", () => {
  const text = async (path: string): Promise<string> => await readFile(join(projectDirectory, path), "utf8");

  it("has the seccomp profile of our own default and pivot_root, no more", async () => {
    expect(JSON.parse(await text("deploy/seccomp.json"))).to.deep.equal(containerSeccomp());
  });

  it("asks in compose for the capabilities that check looks for, and for this version", async () => {
    const { services } = loadYaml<Compose>(await text("deploy/compose/compose.yaml"));
    expect(services["a3s-box"].cap_drop).to.deep.equal(["ALL"]);
    expect(services["a3s-box"].cap_add).to.have.members([...neededCapabilities.values()]);
    expect(services["a3s-box"].image).to.contain(`:-a3s-box:${packageVersion()}}`);
    await loadConfig({ config: join(projectDirectory, "deploy/compose/config.toml") });
  });
});

describe("a release's list of parts", () => {
  it("knows a package of npm by a file of it", () => {
    expect(packageOf("node_modules/ws/lib/a.js")).to.equal("node_modules/ws");
    expect(packageOf("node_modules/a/node_modules/@b/c/d.js")).to.equal("node_modules/a/node_modules/@b/c");
    expect(packageOf("dist/main.js")).to.equal(undefined);
  });

  it("takes a crate's digest from the lock file", () => {
    const sum = "a".repeat(64);
    const lock = `[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "registry+x"\nchecksum = "${sum}"\n\n[[package]]\nname = "own"\nversion = "0.1.0"\n`;
    expect([...checksumsOf(lock)]).to.deep.equal([["a 1.0.0", sum]]);
  });
});
