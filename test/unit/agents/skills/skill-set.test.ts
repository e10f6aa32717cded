import { expect } from "chai";
import { constants } from "node:fs";
import { chmod, lstat, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { createLogger } from "../../../../src/base/log.js";
import { neverAborted } from "../../../../src/base/signals.js";
import { SkillSet, type SetParts } from "../../../../src/agents/skills/skill-set.js";
import { hostTree } from "../../../../src/agents/skills/host-tree.js";
import { readSource, wholeRoom } from "../../../../src/agents/skills/read-source.js";
import { project, putFile, skillText } from "../../../support/agents/skill-directory.js";
import { eventually, limit } from "../../../support/wait.js";

const none = { within: "/", path: "/nowhere" };

/** openat2's place is in `test/sandboxes/agents.test.ts`, on the addon: here paths are ours. */
const held: { readonly close: () => Promise<void>; readonly fd: number }[] = [];
const native: SetParts["native"] = {
  openIn: async (root, path) => {
    const file = await open(join(root, path), constants.O_RDONLY | constants.O_NONBLOCK);
    held.push(file);
    return file.fd;
  },
  closeFd: async (fd) => {
    const at = held.findIndex((one) => one.fd === fd);
    await held.splice(at, 1)[0]?.close();
  },
};

describe("a set of skills", function () {
  this.timeout(limit(20_000));
  let scratch: string;
  let source: string;
  let set: SkillSet | undefined;
  const closing = new AbortController();
  const parts: SetParts = {
    native,
    log: createLogger("error", { write: () => undefined }),
    closing: closing.signal,
    pauseMs: 0,
  };

  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), "a3s-skills-"));
    source = join(scratch, "source");
    await mkdir(source);
  });
  afterEach(async () => {
    await set?.end(neverAborted);
    expect(held).to.deep.equal([]);
    await rm(scratch, { recursive: true });
  });

  async function put(path: string, text: string, mode = 0o644): Promise<void> {
    const file = join(source, path);
    await putFile(file, text);
    await chmod(file, mode);
  }

  const of = (...paths: string[]) => paths.map((path) => ({ within: path, path }));

  async function begun(...paths: string[]): Promise<SkillSet> {
    const made = new SkillSet(join(scratch, "set"), of(...paths), parts);
    set = made;
    await made.begin(neverAborted);
    return made;
  }

  /** What a container sees, with modes. */
  async function seen({ mounted }: SkillSet): Promise<Record<string, string>> {
    const all: Record<string, string> = {};
    for (const entry of await readdir(mounted, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      expect(entry.isSymbolicLink(), path).to.equal(false);
      if (!entry.isFile()) continue;
      const mode = ((await lstat(path)).mode & 0o777).toString(8);
      all[relative(mounted, path)] = `${mode} ${await readFile(path, "utf8")}`;
    }
    return all;
  }

  it("has a ConfigMap of one skill under the skill's name, once, with its paths unfolded", async () => {
    const files = { "SKILL.md": skillText("pdf"), "scripts__fill.py": "print()", references__forms__a: "A" };
    await project(source, files, "1");
    const made = await begun(source);
    expect(await seen(made)).to.deep.equal({
      "pdf/SKILL.md": `444 ${skillText("pdf")}`,
      "pdf/scripts/fill.py": "555 print()",
      "pdf/references/forms/a": "444 A",
    });
    expect(made.facts).to.deep.equal([{ name: "pdf", description: "what pdf is for", from: source }]);
  });

  it("follows the swap of a ConfigMap: changed, new and gone files, and another name", async () => {
    await project(source, { "SKILL.md": skillText("pdf"), old: "1", same: "2" }, "1");
    const made = await begun(source);
    const kept = await lstat(join(made.mounted, "pdf/same"));
    await project(source, { "SKILL.md": skillText("pdf", "anew"), new__file: "3", same: "2" }, "2");
    await eventually("the swap", 10_000, async () =>
      Object.keys(await seen(made)).includes("pdf/new/file") ? true : undefined,
    );
    expect(Object.keys(await seen(made)).sort()).to.deep.equal(["pdf/SKILL.md", "pdf/new/file", "pdf/same"]);
    expect((await lstat(join(made.mounted, "pdf/same"))).ino).to.equal(kept.ino);
    await project(source, { "SKILL.md": skillText("forms") }, "3");
    await eventually("another name", 10_000, async () =>
      (await readdir(made.mounted)).includes("forms") ? true : undefined,
    );
    expect(await readdir(made.mounted)).to.deep.equal(["forms"]);
  });

  it("finds the skills below a directory, follows them, and passes over what is none", async () => {
    await put("pdf/SKILL.md", skillText("pdf"));
    await put("pdf/run.sh", "#!/bin/sh", 0o755);
    await put("pdf/.git/config", "x");
    await put("team/of-two/deep/SKILL.md", skillText("deep"));
    for (const path of [".hidden/a", "node_modules/a", "a/b/c/d/e/f/g"]) await put(`${path}/SKILL.md`, skillText("a"));
    await put("README.md", "no skill");
    const made = await begun(source);
    expect(Object.keys(await seen(made)).sort()).to.deep.equal(["deep/SKILL.md", "pdf/SKILL.md", "pdf/run.sh"]);
    expect((await seen(made))["pdf/run.sh"]).to.equal("555 #!/bin/sh");
    await put("team/of-two/deep/more.md", "more");
    await eventually("a file far below", 10_000, async () => (await seen(made))["deep/more.md"]);
    await rm(join(source, "pdf"), { recursive: true });
    await eventually("a skill less", 10_000, async () =>
      (await readdir(made.mounted)).length === 1 ? true : undefined,
    );
  });

  it("names what is broken, and has the others all the same", async () => {
    await put("good/SKILL.md", skillText("good"));
    await put("other/SKILL.md", skillText("misnamed"));
    await put("broken/SKILL.md", "no front matter");
    const second = join(scratch, "second");
    await mkdir(join(second, "good"), { recursive: true });
    await writeFile(join(second, "good/SKILL.md"), skillText("good", "of another"));
    const made = await begun(source, second, join(scratch, "nowhere"));
    expect(await readdir(made.mounted)).to.deep.equal(["good"]);
    const problems = made.facts.filter(({ problem }) => problem !== undefined);
    expect(problems.map(({ name }) => name)).to.deep.equal(["broken", "other", "good", ""]);
    const [broken, other, twice, nowhere] = problems.map(({ problem }) => problem ?? "");
    expect(broken).to.contain('does not begin with a line "---"');
    expect(other).to.contain('name "misnamed" is not that of its directory, "other"');
    expect(twice).to.equal(`another of that name is in ${source}`);
    expect(nowhere).to.contain("ENOENT");
    await put("broken/SKILL.md", skillText("broken"));
    await eventually("the cure", 10_000, async () =>
      (await readdir(made.mounted)).includes("broken") ? true : undefined,
    );
  });

  it("is bounded: names, sizes, depth and number of what a source has", async () => {
    await put("SKILL.md", skillText("flat"));
    const cases = [
      ["a____b", "no path with"],
      ["..__x", ""],
      ["a__..__b", "no path with"],
      ["big", "big: has more than"],
    ] as const;
    for (const [name, problem] of cases) {
      await put(name, name === "big" ? "x".repeat(9 * 1024 * 1024) : "x");
      const made = await begun(source);
      const found = made.facts.map((fact) => fact.problem ?? "").join();
      if (problem === "") expect(found, name).to.equal("");
      else expect(found, name).to.contain(problem);
      made.close();
      await rm(join(source, name));
    }
    await put("both", "x");
    await put("both__below", "x");
    const made = await begun(source);
    expect(made.facts[0]?.problem).to.contain("both is a file and a directory");
  });

  it("is bounded in what it looks at: names of a directory, and directories in directories", async () => {
    await Promise.all(
      Array.from({ length: 40 }, (_, at) => mkdir(join(source, `many/d${String(at)}`), { recursive: true })),
    );
    const signal = new AbortController().signal;
    const room = { ...wholeRoom, looks: 20 };
    const { problems } = await readSource(of(source)[0] ?? none, hostTree(of(source)[0] ?? none, native), room, signal);
    expect(problems.map(({ problem }) => problem)).to.deep.equal(["more than 32768 files to look at"]);
    const told = await hostTree(of(source)[0] ?? none, native, 39)
      .names("many")
      .catch((thrown: unknown) => String(thrown));
    expect(told).to.contain("a directory has more than 39 names");
    expect(await hostTree(of(source)[0] ?? none, native, 40).names("many")).to.have.length(40);
  });

  it("is not read any further once nobody wants it, and what is there stays as it is", async () => {
    await put("pdf/SKILL.md", skillText("pdf"));
    let opened = 0;
    const caller = new AbortController();
    const slow: SetParts["native"] = {
      ...native,
      openIn: async (...place) => {
        opened += 1;
        if (opened === countTo) caller.abort();
        return await native.openIn(...place);
      },
    };
    let countTo = Number.POSITIVE_INFINITY;
    const made = new SkillSet(join(scratch, "set"), of(source), { ...parts, native: slow });
    set = made;
    await made.begin(neverAborted);
    await Promise.all(Array.from({ length: 100 }, (_, at) => mkdir(join(source, `d${String(at)}`))));
    made.close(); // nothing is read for what has changed
    const again = new SkillSet(join(scratch, "set"), of(source), { ...parts, native: slow });
    set = again;
    [opened, countTo] = [0, 10];
    const failed = await again.refresh(caller.signal).catch((thrown: unknown) => String(thrown));
    expect(failed).to.contain("the caller gave up");
    await again.end(neverAborted);
    expect(opened).to.be.lessThan(20);
    expect(Object.keys(await seen(again))).to.deep.equal(["pdf/SKILL.md"]);
  });

  it("is found again by the next daemon, and brought up to date", async () => {
    await put("pdf/SKILL.md", skillText("pdf"));
    (await begun(source)).close();
    await put("more/SKILL.md", skillText("more"));
    set = await SkillSet.found(join(scratch, "set"), parts);
    await set.refresh(neverAborted);
    expect((await readdir(set.mounted)).sort()).to.deep.equal(["more", "pdf"]);
  });

  it("reads no pipe, which has no end", async () => {
    const tree = hostTree({ within: source, path: source }, native);
    const failed = await tree.file(".", 10).catch((thrown: unknown) => String(thrown));
    expect(failed).to.contain("it is no file");
  });
});
