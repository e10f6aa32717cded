import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { runcFeatures } from "../../../src/vmm/drivers/native/runc-features.js";

describe("what runc says that it can do", () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-runc-"));
  });
  after(async () => {
    await rm(directory, { recursive: true });
  });

  const runc = async (script: string): Promise<string> => {
    const path = join(directory, "runc");
    await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return path;
  };

  it("is taken from its answer", async () => {
    const answer = '{"ociVersionMin": "1.0.0", "mountOptions": ["ro", "rro"], "linux": {"namespaces": ["user"]}}';
    expect(await runcFeatures(await runc(`[ "$1" = features ] && echo '${answer}'`))).to.deep.equal({
      mountOptions: ["ro", "rro"],
      namespaces: ["user"],
    });
  });

  for (const [what, script] of [
    ["too old for the question", "echo 'No help topic for features' >&2; exit 3"],
    ["rubbish", "echo rubbish"],
    ["of another form", `echo '{"mountOptions": "rro"}'`],
  ] as const) {
    it(`is nothing where the answer is ${what}`, async () => {
      expect(await runcFeatures(await runc(script))).to.deep.equal({ mountOptions: [], namespaces: [] });
    });
  }
});
