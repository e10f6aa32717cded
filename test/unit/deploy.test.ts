/** deploy/: that RuntimeClasses name handlers there are, and have the figures of the table. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadYaml, type V1RuntimeClass } from "@kubernetes/client-node";
import { expect } from "chai";
import { loadConfig } from "../../src/config/load.js";
import { projectDirectory } from "../support/project.js";

const directory = join(projectDirectory, "deploy");
/** Where the objects are, and whose figures they have. */
const kinds = { runtimeclass: "qemu", "runtimeclass-kvm": "krun" };

/** Handler and driver to their row's cells. */
async function table(): Promise<Map<string, readonly string[]>> {
  const rows = (await readFile(join(directory, "README.md"), "utf8"))
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  const cells = rows.map((row) => row.split("|").map((cell) => cell.trim()));
  return new Map(
    cells.map(([, handler = "", driver = "", ...rest]) => [`${handler.replaceAll("`", "")} ${driver}`, rest]),
  );
}

describe("the RuntimeClasses to deploy", () => {
  /** With the key of its row. */
  const classes: { readonly found: V1RuntimeClass; readonly key: string }[] = [];
  before(async () => {
    for (const [kind, driver] of Object.entries(kinds)) {
      for (const name of (await readdir(join(directory, kind))).sort()) {
        const found = loadYaml<V1RuntimeClass>(await readFile(join(directory, kind, name), "utf8"));
        expect(`${found.metadata?.name ?? ""}.yaml`).to.equal(name);
        classes.push({ found, key: `${found.handler} ${found.handler === "native" ? "native" : driver}` });
      }
    }
  });

  it("are objects of the API, one for each handler of the table and of the sample configuration", async () => {
    for (const { found } of classes) {
      expect([found.apiVersion, found.kind]).to.deep.equal(["node.k8s.io/v1", "RuntimeClass"]);
    }
    expect(classes.map(({ key }) => key)).to.have.members([...(await table()).keys()]);
    const handlers = new Set(classes.map(({ found }) => found.handler));
    const config = await loadConfig({ config: join(directory, "handlers.toml") });
    expect(["", ...handlers]).to.have.members(Object.keys(config.handlers));
  });

  it("have the overhead that was measured: a tenth more than both parts, in steps of 16 MiB", async () => {
    const measured = await table();
    for (const { found, key } of classes) {
      const [guest = "", host = "", , fixed = ""] = measured.get(key) ?? [];
      const sum = Number.parseFloat(guest) + Number.parseFloat(host);
      expect(Math.ceil((sum * 1.1) / 16) * 16, key).to.equal(Number.parseInt(fixed, 10));
      expect(found.overhead?.podFixed?.["memory"], key).to.equal(fixed.replace(" ", ""));
    }
  });
});
