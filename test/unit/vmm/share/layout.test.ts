import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import {
  entryAt,
  guestLayout,
  guestPathOf,
  isWrittenRoot,
  mirrorOf,
  volumeAt,
} from "../../../../src/vmm/share/layout.js";

const agentLayout = "guest/agent/src/layout.rs";

/** Of all files below a directory with that ending: those whose code has one of the words in it. */
async function filesWith(directory: string, ending: string, words: RegExp): Promise<string[]> {
  const names = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith(ending));
  const found: string[] = [];
  for (const name of names) {
    const code = (await readFile(join(directory, name), "utf8")).split("#[cfg(test)]")[0] ?? "";
    if (words.test(code.replaceAll(/^\s*(\/\/|\*|\/\*).*$/gm, ""))) found.push(join(directory, name));
  }
  return found;
}

describe("the layout of a share", () => {
  it("is the same to the host and to the agent", async () => {
    const text = await readFile(agentLayout, "utf8");
    const constants = text.matchAll(/^pub const (\w+): &str = "([^"]*)";$/gm);
    expect(Object.fromEntries([...constants].map(([, name, path]) => [name, path]))).to.deep.equal(guestLayout);
  });

  it("has one owner on each side: nobody else builds its paths", async () => {
    const paths = /["`'](\/[cv]\/|\/run\/mirrors|\/run\/a3s\/|\/base\/bin)/;
    expect(await filesWith("src", ".ts", paths)).to.deep.equal(["src/vmm/share/layout.ts"]);
    expect(await filesWith("guest/agent/src", ".rs", paths)).to.deep.equal([agentLayout]);
  });

  it("has roots and volumes in places of their own, and a volume's copy beside them", () => {
    expect(guestPathOf("c", "one-5f")).to.equal("/c/one-5f");
    const volume = volumeAt("/run/a3s-box/boxes/1/share/v/ro-5f");
    expect(volume.guestPath).to.equal("/v/ro-5f");
    expect(mirrorOf(volume)).to.equal("/run/mirrors/ro-5f");
  });

  it("knows where what a container writes is, with its root there and without", () => {
    for (const path of ["/b/share/c/one-5f", "/b/share/v/written-5f"]) expect(isWrittenRoot(path), path).to.equal(true);
    for (const path of ["/b/share/v/rw-5f", "/b/share/x/written-5f", "/b/share/v/written"]) {
      expect(isWrittenRoot(path), path).to.equal(false);
    }
  });

  it("has no entry but its own", () => {
    expect(entryAt("/b/share", "/b/share/v/ro-5f")).to.deep.equal({ area: "v", name: "ro-5f" });
    for (const path of [
      "/b/share/v",
      "/b/share/v/..",
      "/b/share/x/a",
      "/b/share/v/a/b",
      "/c/share/v/a",
      "/b/share/v/",
    ]) {
      expect(entryAt("/b/share", path), path).to.equal(undefined);
    }
  });
});
