import { expect } from "chai";
import { readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { templateNames } from "../../scripts/images/build.js";
import { templateImages } from "../../scripts/setup/assets/template-images.js";
import { setupContext } from "../../scripts/setup/set-up.js";
import { run } from "../support/image-store.js";
import { projectDirectory } from "../support/project.js";
import { templateArchive } from "../support/template-images.js";
import { limit } from "../support/wait.js";

describe("the images of the templates", () => {
  it("have the same digests when they are made once more from the same packages", async function () {
    this.timeout(limit(300_000)); // once on a machine for each change of the sources
    const context = setupContext(projectDirectory, AbortSignal.timeout(limit(290_000)), () => undefined);
    const first = await realpath(join(projectDirectory, "build/assets/templates"));
    const again = await templateImages(context, "template-images-again");
    expect(again).to.not.equal(first);
    for (const template of templateNames) {
      const digest = await readFile(join(first, `${template}.digest`), "utf8");
      expect(digest).to.match(/^sha256:[0-9a-f]{64}$/);
      expect(await readFile(join(again, `${template}.digest`), "utf8")).to.equal(digest);
    }
  });

  it("give nothing to `user` but its home, and let everybody write where every system does alone", async () => {
    const files = await tarList(await templateArchive("base"));
    expect(files.length).to.be.greaterThan(5_000);
    const owned = files.filter(({ owner }) => owner === "1000/1000").map(({ path }) => path);
    expect(owned.filter((path) => !path.startsWith("home/user/"))).to.deep.equal([]);
    expect(owned).to.include.members(["home/user/", "home/user/.profile"]);
    const open = files.filter(({ mode }) => /^[^l].{7}w/.test(mode)).map(({ mode, path }) => `${mode} ${path}`);
    expect(open.sort()).to.deep.equal(["drwxrwxrwt run/lock/", "drwxrwxrwt tmp/", "drwxrwxrwt var/tmp/"]);
    const asRoot = files.filter(({ mode }) => /^-..[sS]/.test(mode)).map(({ path }) => path);
    expect(asRoot).to.include("usr/bin/su");
    expect(files.filter(({ path }) => /^(bin|sbin|lib|lib64)\//.test(path))).to.deep.equal([]);
    expect(files.filter(({ path }) => /^usr\/share\/(man|locale)\/.|\.pyc$/.test(path))).to.deep.equal([]);
    expect(files.map(({ path }) => path)).to.include.members(["usr/share/doc/bash/copyright", "var/lib/dpkg/status"]);
  });
});

interface Listed {
  readonly mode: string;
  readonly owner: string;
  readonly path: string;
}

/** What the layers of an archive have, by another tar than the one that they were written with. */
async function tarList(archive: string): Promise<Listed[]> {
  const script = `for blob in $(tar -tf "$1" --wildcards 'blobs/sha256/?*'); do
    tar -xOf "$1" $blob | tar -tvzf - --numeric-owner 2> /dev/null || true; done`;
  return (await run("bash", ["-c", script, "bash", archive]))
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [mode = "", owner = "", , , , path = ""] = line.split(/ +/);
      return { mode, owner, path };
    });
}
