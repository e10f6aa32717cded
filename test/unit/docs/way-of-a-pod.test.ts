/** That ARCHITECTURE.md's way of a pod is the one that the imports have. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { rowsIn, textOf } from "../../support/documents.js";
import { projectDirectory } from "../../support/project.js";

const mostFiles = 12;
/** Rooms of tools: they know nothing of pods. */
const tools = /^(?:base|gen|config|native)\//;

async function section(): Promise<string> {
  const text = await textOf("ARCHITECTURE.md");
  const from = text.indexOf("### The way of a pod");
  return text.slice(from, text.indexOf("\n## ", from));
}

async function way(): Promise<string[]> {
  return [...(await section()).matchAll(/^\d+\. `([\w/-]+)`: /gm)].flatMap(([, file]) => file ?? []);
}

/** A cell names files by their whole paths, or a directory and then those in it: "`a/b/` `c`, `d`; `e/f`". */
async function aside(): Promise<string[]> {
  return rowsIn(await section()).flatMap(([, cell = ""]) =>
    cell.split(";").flatMap((part) => {
      const [first = "", ...others] = [...part.matchAll(/`([\w/-]+)`/g)].flatMap(([, name]) => name ?? []);
      return first.endsWith("/") ? others.map((name) => first + name) : [first, ...others];
    }),
  );
}

/** What is imported to be run: types lead nowhere. */
async function entered(file: string): Promise<string[]> {
  const text = await readFile(join(projectDirectory, "src", `${file}.ts`), "utf8");
  const found: string[] = [];
  for (const [, names = "", from = ""] of text.matchAll(/^import (?!type )([^;]*?) from "(\.[^"]+)\.js";/gms)) {
    const all = names.replaceAll(/[{}\s]+/g, " ").split(",");
    const isTypes = all.every((name) => name.trim() === "" || name.trim().startsWith("type "));
    if (!isTypes) found.push(join(dirname(file), from));
  }
  return found.filter((one) => !tools.test(one));
}

describe("the way of a pod", () => {
  it("has at most twelve files, each once", async () => {
    const files = await way();
    expect(files).to.have.length.within(2, mostFiles);
    expect(new Set(files).size).to.equal(files.length);
  });

  it("enters nothing that the document does not name, and names nothing that is not entered", async () => {
    const files = await way();
    const found = new Set((await Promise.all(files.map(entered))).flat());
    const named = await aside();
    expect([...found].filter((file) => !files.includes(file) && !named.includes(file))).to.deep.equal([]);
    expect(named.filter((file) => file.includes("/") && file !== "runtime/deps" && !found.has(file))).to.deep.equal([]);
  });

  it("goes from each file to one that comes later", async () => {
    const files = await way();
    for (const [at, file] of files.slice(0, -1).entries()) {
      const earlier = await Promise.all(files.slice(0, at + 1).map(entered));
      const next = files[at + 1] ?? "";
      const isHanded = next === "cri/rpc/run-pod-sandbox" || next === "vmm/open-box-factory"; // by the table of RPCs, by the parts
      expect(isHanded || earlier.flat().includes(next), `${next} after ${file}`).to.equal(true);
    }
  });
});
