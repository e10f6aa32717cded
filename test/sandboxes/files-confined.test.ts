/** Files of a container that has an AppArmor profile (docs/adr/0146): what its programs may not write nobody writes for them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { codeOf } from "../../src/base/errors.js";
import { builtConfig } from "../support/guest-kernel/kernel.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { limit } from "../support/wait.js";
import { FilesRig } from "./files-rig.js";

const name = "a3s-test-closed-place";

describe("files of a container with an AppArmor profile", function () {
  this.timeout(limit(120_000));
  const undo = new Undo();
  let rig: FilesRig;
  before(async function () {
    if ((await builtConfig()) === undefined) skipBecause(this, "the kernel of the package has no AppArmor");
    const policy = await readFile(join(projectDirectory, "build/assets/apparmor-tests", name));
    rig = await FilesRig.start({ name, policy });
    undo.add(() => rig[Symbol.asyncDispose]());
  });
  after(async () => {
    await undo.run();
  });

  it("are written where the profile lets its programs write, and nowhere else, by root and by another user", async () => {
    expect(await rig.shell("cat /proc/1/attr/current")).to.equal(`${name} (enforce)\n`);
    await rig.write("/work/open", "open");
    expect(await rig.text("/work/open")).to.equal("open");
    const written = (user: string): Promise<string> => rig.write("/closed/x", "x", { user }).then(() => "", codeOf);
    await rig.shell("chmod 777 /closed");
    expect([await written("root"), await written("me")]).to.deep.equal(["permissionDenied", "permissionDenied"]);
    expect(await rig.names("/closed")).to.deep.equal([]);
    await rig.shell("echo there > /closed/there"); // an exec that names no profile has none
    expect(await rig.text("/closed/there")).to.equal("there\n");
  });
});
