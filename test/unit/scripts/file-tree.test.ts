import { expect } from "chai";
import { describe, it } from "mocha";
import { FileTree } from "../../../scripts/images/file-tree.js";
import { isStripped } from "../../../scripts/images/stripped.js";
import type { ImageFile } from "../../../scripts/setup/image-layer.js";

function file(path: string, mtime = 5): ImageFile {
  return { path, kind: "file", mode: 0o644, content: Buffer.from(path), mtime };
}

describe("the files of a template's image", () => {
  it("are in layers, each with the directories that its files are in, and hard links at last", () => {
    const tree = new FileTree();
    tree.add({ path: "usr", kind: "directory", mode: 0o711, gid: 3, mtime: 1 });
    tree.add({ path: "usr/a", kind: "hardlink", to: "usr/b", mode: 0o755, mtime: 1 });
    tree.add(file("usr/b"));
    expect(tree.takeLayer().map(({ path }) => path)).to.deep.equal(["usr", "usr/b", "usr/a"]);
    tree.add(file("usr/share/c", 9));
    tree.put({ path: "usr/d", kind: "symlink", to: "b" });
    const layer = tree.takeLayer();
    expect(layer.map(({ path }) => path)).to.deep.equal(["usr", "usr/d", "usr/share", "usr/share/c"]);
    expect(layer[0]).to.include({ mode: 0o711, gid: 3 });
    expect(layer[1]).to.include({ mtime: 9 });
    expect(tree.takeLayer()).to.deep.equal([]);
  });

  it("are the first package's where directories are shared, and nobody's where files are", () => {
    const tree = new FileTree();
    tree.add({ path: "etc", kind: "directory", mode: 0o755 });
    tree.add({ path: "etc", kind: "directory", mode: 0o700 });
    tree.add(file("etc/x"));
    expect(() => {
      tree.add(file("etc/x"));
    }).to.throw("two packages have etc/x");
    expect(tree.takeLayer()[0]).to.include({ mode: 0o755 });
    expect(() => tree.content("etc/y")).to.throw("no package has the file etc/y");
  });

  it("have no manuals and translations, but every licence", () => {
    const kept = [
      "usr/share/doc/bash/copyright",
      "usr/bin/man",
      "usr/share/common-licenses/GPL-3",
      "usr/lib/locale/C.utf8/x",
    ];
    const stripped = [
      ...[
        "usr/share/man/man1/x.1.gz",
        "usr/share/doc/bash",
        "usr/share/doc/bash/README",
        "usr/share/locale/de",
        "var/run",
      ],
      ...["usr/share/perl/5.40/pod/perl.pod", "etc/rc0.d/K01x", "usr/lib/python3.13/EXTERNALLY-MANAGED"],
    ];
    expect(kept.filter((path) => isStripped(path, "file"))).to.deep.equal([]);
    expect(stripped.filter((path) => !isStripped(path, "file"))).to.deep.equal([]);
    expect(isStripped("usr/share/doc/libfoo", "symlink")).to.equal(false);
  });
});
