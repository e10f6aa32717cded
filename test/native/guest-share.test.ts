import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { mountsBelow, readMountinfo } from "../../src/base/mountinfo.js";
import { nestedMounts } from "../../src/runtime/volumes/nested-mounts.js";
import { boxDirectoryAt } from "../../src/vmm/box-directory.js";
import { hostedShare } from "../support/hosted-share.js";
import { Scratch, native, plain } from "./scratch.js";

describe("a source that the daemon's own directories are in", () => {
  it("has all mounts below it in the share but those in these directories, and the source keeps them", async () => {
    await using scratch = await Scratch.make();
    const [source, own] = [scratch.in("source"), scratch.in("source/own")];
    for (const name of ["box", "base", "source", "source/a b", "source/own", "source/own/box"]) {
      await mkdir(scratch.in(name));
    }
    const mounted = ["source/a b", "source/a b/deep", "source/own", "source/own/box", "source/own/box/deep"];
    for (const name of mounted) {
      await mkdir(scratch.in(name), { recursive: true });
      await native.mountTmpfs(scratch.in(name), 1 << 20, 0o755);
    }
    await writeFile(scratch.in("source/file"), "");
    await native.bindMount(scratch.in("source/file"), scratch.in("source/file"), false, plain);
    const { guest } = await hostedShare(native, boxDirectoryAt(scratch.in("box")), scratch.in("base"), null);
    const before = mountsBelow(await readMountinfo(), source).length;
    const { hostPath } = await guest.bind("all", source, { readonly: false, recursive: true, without: [own] });
    const mounts = await guest.mounted();
    expect(mountsBelow(mounts, hostPath).reverse()).to.deep.equal(
      ["", "a b", "a b/deep", "file"].map((name) => join(hostPath, name)),
    );
    const box = { lookAtShared: guest.lookAt.bind(guest) };
    expect(await nestedMounts(box, source, hostPath, mounts, native)).to.deep.equal(["a b", "a b/deep"]);
    expect(mountsBelow(await readMountinfo(), source)).to.have.lengthOf(before);
    await guest.remove(hostPath);
    expect(mountsBelow(await readMountinfo(), source)).to.have.lengthOf(before);
  });
});
