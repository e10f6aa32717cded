import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { confineGroups } from "../../../../src/vmm/cgroup/cpu-set.js";

describe("confineGroups", () => {
  let top: string;
  beforeEach(async () => {
    top = await mkdtemp(join(tmpdir(), "a3s-u"));
  });
  afterEach(async () => {
    await rm(top, { recursive: true });
  });
  const group = async (version: 1 | 2): Promise<string> => {
    const directory = join(top, `v${version}`, "box");
    await mkdir(directory, { recursive: true });
    for (const [file, text] of [
      ["cpuset.cpus", "0-3"],
      ["cpuset.mems", "0"],
    ] as const) {
      await writeFile(join(directory, "..", file), `${text}\n`);
      await writeFile(join(directory, file), "");
    }
    if (version === 2) await writeFile(join(directory, "cgroup.controllers"), "cpuset\n");
    return directory;
  };
  const listsOf = async (directory: string): Promise<string[]> => {
    return await Promise.all(["cpuset.cpus", "cpuset.mems"].map((file) => readFile(join(directory, file), "utf8")));
  };

  it("writes to the groups that have cpusets, and no others", async () => {
    const [old, bare] = [await group(1), join(top, "memory/box")];
    await mkdir(bare, { recursive: true });
    await confineGroups([bare, old], { cpus: "1,3", mems: "" });
    expect(await listsOf(old)).to.deep.equal(["1,3\n", "0\n"]); // v1 has no word for all
  });

  it("gives all back by an empty list with cgroup v2", async () => {
    const unified = await group(2);
    await confineGroups([unified], { cpus: "", mems: "0" });
    expect((await listsOf(unified)).map((text) => text.slice(0, 2))).to.deep.equal(["\n", "0\n"]);
  });

  it("fails where there are no cpusets and some are wished for", async () => {
    await confineGroups([top], { cpus: "", mems: "" });
    const tried = confineGroups([top], { cpus: "1", mems: "" }).then(String, String);
    expect(await tried).to.match(/CPUs "1" can't be set.*no cpuset.*static CPU manager/);
  });
});
