/** Layers unpacked in a user namespace: the same tree on the disk as without, whoever owns what; and where there is none. */
import { expect } from "chai";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../src/base/log.js";
import { openUsers } from "../../src/image/unpack/users.js";
import { loadNative } from "../../src/native/addon.js";
import { startHostileRegistry } from "../support/hostile-registry.js";
import { openTestStore, run } from "../support/image-store.js";
import { projectDirectory } from "../support/project.js";
import { buildLayer, buildTar } from "../support/tar-builder.js";
import { diffIdOf, UnpackBed } from "../support/unpacker.js";

const { native } = loadNative(join(projectDirectory, "build", "assets"));
/** VFS_CAP_REVISION_2, CAP_NET_RAW effective (linux/capability.h). */
const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");

/** Every file's kind, mode, owner, device, link, size, time, and attributes. */
const factsScript = `
import os, sys
top = sys.argv[1]
paths = [os.path.join(directory, name) for directory, directories, files in os.walk(top) for name in directories + files] + [top]
for path in sorted(paths):
    s = os.lstat(path)
    attributes = [(name, os.getxattr(path, name, follow_symlinks=False).hex()) for name in sorted(os.listxattr(path, follow_symlinks=False))]
    link = os.readlink(path) if os.path.islink(path) else ""
    print(os.path.relpath(path, top), oct(s.st_mode), s.st_uid, s.st_gid, s.st_rdev, s.st_nlink, link, s.st_mtime_ns, attributes)
`;

const tar = buildTar([
  { name: "d/", type: "directory", mode: 0o2775, uid: 1000, gid: 70_000 },
  { name: "d/inherits", content: "1" },
  { name: "setuid", content: "2", mode: 0o4755 },
  { name: "far", content: "3", uid: 2_000_000_000, gid: 2_000_000_000 },
  { name: "last", content: "4", uid: 2_147_483_646, gid: 2_147_483_646 },
  { name: "capable", content: "5", pax: { "SCHILY.xattr.security.capability": capability } },
  { name: "noted", content: "6", uid: 5, pax: { "SCHILY.xattr.trusted.note": "t", "SCHILY.xattr.user.note": "u" } },
  { name: "link", type: "symlink", link: "far", uid: 7, gid: 8 },
  { name: "hard", type: "hardlink", link: "capable" },
  { name: "null", type: "character", major: 1, minor: 3, mode: 0o666, uid: 9 },
  { name: "disk", type: "block", major: 254, minor: 1_000, mode: 0o640 },
  { name: "null", type: "character", major: 1, minor: 5, mode: 0o600 },
  { name: "pipe", type: "fifo", uid: 10 },
  { name: "d/.wh.gone" },
  { name: "e/.wh..wh..opq" },
  { name: "e/implied/f", content: "7" },
]);

describe("a layer in a user namespace", function () {
  this.timeout(60_000);

  async function factsOf(users: number | undefined): Promise<string[]> {
    await using bed = await UnpackBed.make(users === undefined ? {} : { users });
    const { code, fields, log, directory } = await bed.unpack(tar, "none", diffIdOf(tar));
    expect({ code, fields, log }).to.deep.equal({ code: 0, fields: ["e"], log: "" });
    const result = await readFile(join(directory, "implied"), "utf8");
    return [...(await run("python3", ["-c", factsScript, join(directory, "fs")])).split("\n"), result];
  }
  /** But for the times of directories that no entry is for. */
  const timeless = (facts: string[]): string[] =>
    facts.map((line) => (/^(?:e|e\/implied|\.) /.test(line) ? line.replace(/ \d{19} /, " ") : line));

  it("is the same tree on the disk", async () => {
    const users = await openUsers(native);
    try {
      const [mapped, plain] = [await factsOf(users), await factsOf(undefined)];
      expect(timeless(mapped)).to.deep.equal(timeless(plain));
      // Else the script has compared nothing.
      expect(plain.length).to.be.greaterThan(16);
      expect(plain.join("\n"))
        .to.include(capability.toString("hex"))
        .and.include("2000000000")
        .and.include("trusted.note");
    } finally {
      await native.closeFd(users);
    }
  });

  it("has no owner of the other half of all ids, and says which", async () => {
    const users = await openUsers(native);
    try {
      await using bed = await UnpackBed.make({ users });
      const bytes = buildTar([{ name: "f", content: "x", gid: 2_147_483_647 }]);
      const { code, fields } = await bed.unpack(bytes, "none", diffIdOf(bytes));
      expect(code).to.equal(1);
      expect(fields[1]).to.equal(
        'entry "f": its owner 2147483647 is above 2147483646, the highest that an image may have here',
      );
    } finally {
      await native.closeFd(users);
    }
  });
});

describe("a store where layers can't be unpacked in a user namespace", function () {
  this.timeout(60_000);
  const layers = ["a", "b"].map((name) => buildLayer([{ name, content: name, uid: 1000 }]));

  /** Pulls an image of two layers, with everything that the log says. */
  async function pulledInto(directory: string, open: typeof openTestStore = openTestStore): Promise<string> {
    let log = "";
    const registry = await startHostileRegistry();
    const store = await open(directory, { log: createLogger("warn", { write: (line) => void (log += line) }) });
    try {
      const { reference } = registry.serve("team/app", "v1", { layers });
      const image = await store.pull(reference, undefined, new AbortController().signal);
      for (const name of ["a", "b"]) expect(String(await store.readFile(image, `/${name}`))).to.equal(name);
    } finally {
      await store.close();
      await registry.stop();
    }
    return log;
  }

  it("has them as before, and says once why: a file system that maps no owners", async () => {
    const top = await mkdtemp(join(tmpdir(), "a3s-test-unmapped-"));
    const [lower = "", upper = "", work = "", merged = ""] = ["lower", "upper", "work", "merged"].map((name) =>
      join(top, name),
    );
    for (const path of [lower, upper, work, merged]) await mkdir(path);
    await run("mount", ["-t", "overlay", "none", "-o", `lowerdir=${lower},upperdir=${upper},workdir=${work}`, merged]);
    try {
      const log = await pulledInto(join(merged, "images"));
      expect(log.match(/without a user namespace/g)).to.have.length(1);
      expect(log).to.include("map the owners of");
    } finally {
      await run("umount", [merged]);
      await rm(top, { recursive: true });
    }
  });

  it("has them as before, and says once why: a machine that allows no namespace", async () => {
    const top = await mkdtemp(join(tmpdir(), "a3s-test-unmapped-"));
    const refusing = {
      ...native,
      openUserNamespace: () => Promise.reject(new Error("ENOSPC: clone user namespace: No space left on device")),
    };
    try {
      const log = await pulledInto(join(top, "images"), async (directory, options) =>
        openTestStore(directory, { ...options, native: refusing }),
      );
      expect(log.match(/without a user namespace/g)).to.have.length(1);
      expect(log).to.include("ENOSPC");
    } finally {
      await rm(top, { recursive: true });
    }
  });
});
