/** deploy/: that RuntimeClasses name handlers there are, and have the figures of the table. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadYaml, type V1RuntimeClass } from "@kubernetes/client-node";
import { expect } from "chai";
import { loadConfig } from "../../src/config/load.js";
import { projectFolder } from "../support/project.js";

const folder = join(projectFolder, "deploy");
const kinds = join(folder, "runtimeclass");

/** Handler to its row's cells. */
async function table(): Promise<Map<string, readonly string[]>> {
  const rows = (await readFile(join(folder, "README.md"), "utf8")).split("\n").filter((line) => line.startsWith("| `"));
  const cells = rows.map((row) => row.split("|").map((cell) => cell.trim()));
  return new Map(cells.map(([, handler = "", ...rest]) => [handler.replaceAll("`", ""), rest]));
}

describe("the RuntimeClasses to deploy", () => {
  let classes: V1RuntimeClass[] = [];
  before(async () => {
    const names = (await readdir(kinds)).sort();
    classes = await Promise.all(
      names.map(async (name) => {
        const found = loadYaml<V1RuntimeClass>(await readFile(join(kinds, name), "utf8"));
        expect(`${found.metadata?.name ?? ""}.yaml`).to.equal(name);
        return found;
      }),
    );
  });

  it("are objects of the API, one for each handler of the table and of the sample configuration", async () => {
    for (const found of classes) {
      expect([found.apiVersion, found.kind]).to.deep.equal(["node.k8s.io/v1", "RuntimeClass"]);
    }
    const handlers = classes.map(({ handler }) => handler);
    expect(handlers).to.have.members([...(await table()).keys()]);
    const config = await loadConfig({ config: join(folder, "handlers.toml") });
    expect(["", ...handlers]).to.have.members(Object.keys(config.handlers));
  });

  it("have the overhead that was measured: a tenth more than both parts, in steps of 16 MiB", async () => {
    const measured = await table();
    for (const { handler, overhead } of classes) {
      const [guest = "", host = "", , fixed = ""] = measured.get(handler) ?? [];
      const sum = Number.parseFloat(guest) + Number.parseFloat(host);
      expect(Math.ceil((sum * 1.1) / 16) * 16, handler).to.equal(Number.parseInt(fixed, 10));
      expect(overhead?.podFixed?.["memory"], handler).to.equal(fixed.replace(" ", ""));
    }
  });
});
