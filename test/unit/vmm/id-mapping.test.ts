import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { Native } from "../../../src/native/addon.js";
import { nativeIdMapping } from "../../../src/vmm/drivers/native/user-namespaces.js";

describe("whether pods of the host can have user namespaces", () => {
  let directory = "";
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-ids-"));
    await chmod(directory, 0o711);
    for (const name of ["state", "layers"]) await mkdir(join(directory, name), { mode: 0o711 });
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  /** The kernel's part: mounts, or does not. */
  const kernel = (mountOverlay: () => Promise<void>): Native => {
    const nothing = (): Promise<void> => Promise.resolve();
    const removeTree = (path: string): Promise<void> => rm(path, { recursive: true, force: true });
    const native: Partial<Native> = { mountOverlay, unmount: nothing, removeTree };
    return native as Native;
  };
  const able = kernel(() => Promise.resolve());
  const asked = async (over: { native?: Native; namespaces?: readonly string[] } = {}) => {
    const places = { state: join(directory, "state"), layers: join(directory, "layers") };
    return await nativeIdMapping({ native: able, namespaces: ["user"], ...places, ...over });
  };

  it("they can where kernel, runc and directories have what it takes", async () => {
    expect(await asked()).to.deep.equal({ by: "mounts" });
  });

  it("is said of a runc that makes none", async () => {
    expect(await asked({ namespaces: ["mount"] })).to.include({
      by: "none",
      why: "this runc makes no user namespaces",
    });
  });

  it("is said of the first directory above the state that others can't pass", async () => {
    await chmod(directory, 0o710);
    await chmod(join(directory, "state"), 0o700);
    expect(await asked()).to.include({ by: "none", why: `${directory} can't be passed by other users (chmod o+x)` });
  });

  it("is said of a kernel that maps no layers, with its words", async () => {
    const unable = kernel(() => Promise.reject(new Error("EINVAL: mount_setattr idmap /x")));
    const found = await asked({ native: unable });
    expect(found).to.have.property("by", "none");
    expect(found)
      .to.have.property("why")
      .that.matches(/does not map .*: EINVAL: mount_setattr idmap/);
  });
});
