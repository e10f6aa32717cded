import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { newBoxId } from "../../../../src/base/ids.js";
import { createLogger } from "../../../../src/base/log.js";
import type { Native } from "../../../../src/native/addon.js";
import { boxDirectoryOf } from "../../../../src/vmm/box-directory.js";
import { templatesDirectory } from "../../../../src/vmm/templates/half-made.js";
import { makeTemplate, type MakeDeps } from "../../../../src/vmm/templates/make-template.js";

describe("a template that could not be made", () => {
  let state: string;
  beforeEach(async () => {
    state = await mkdtemp(join(tmpdir(), "a3s-template-"));
  });
  afterEach(async () => {
    await rm(state, { recursive: true });
  });

  it("leaves neither its file nor its namespace, also where its Box can't be taken away", async () => {
    const id = newBoxId();
    const directory = templatesDirectory(state);
    await mkdir(boxDirectoryOf(directory, id).path, { recursive: true });
    const native: Partial<Native> = {
      createNetns: (path) => writeFile(path, ""),
      removeNetns: (path) => rm(path),
      removeTree: () => Promise.reject(new Error("it stays")),
    };
    const deps: Partial<MakeDeps> = {
      native: native as Native,
      log: createLogger("error", { write: () => undefined }),
      state,
      inTurn: () => Promise.reject(new Error("it does not boot")),
    };
    const named: Partial<MakeDeps["driver"]> = { name: "qemu" };
    const all = { ...deps, driver: named } as MakeDeps;
    const file = join(directory, `${id}.part`);
    const of = { vcpus: 1, memoryMib: 256, tap: null };
    const whole = (): Promise<void> => Promise.reject(new Error("it is none"));
    const made = makeTemplate(all, of, { id, file, whole }, AbortSignal.timeout(5000));
    expect(await made.catch(String)).to.equal("Error: it does not boot");
    expect(await readdir(directory)).to.deep.equal(["boxes"]);
  });
});
