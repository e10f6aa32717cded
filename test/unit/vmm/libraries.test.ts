import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { librariesOf, parseLoaderList } from "../../../src/vmm/drivers/libraries.js";

describe("the libraries of a program", () => {
  it("are read from what the loader prints, with the loader, without what the kernel brings", () => {
    const text = [
      "\tlinux-vdso.so.1 (0x00007ffd2a7f2000)",
      "\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f9b1c000000)",
      "\tlibgone.so.3 => not found",
      "\t/lib64/ld-linux-x86-64.so.2 (0x00007f9b1d000000)",
      "",
    ].join("\n");
    expect(parseLoaderList(text)).to.deep.equal(["/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"]);
  });

  it("lie in directories that are no links, and include those of a running program", async () => {
    const { file, directories } = await librariesOf(process.execPath, AbortSignal.timeout(5000));
    expect(file).to.match(/^\//);
    expect(directories.some((directory) => /^\/.*lib/.test(directory))).to.equal(true);
  });

  it("are none for a program without a loader", async () => {
    const directory = await mkdtemp(join(tmpdir(), "a3s-libraries-"));
    try {
      const file = join(directory, "static");
      // The header alone, of a program without segments: elf(5).
      const head = Buffer.alloc(64);
      head.write("\u007fELF\u0002\u0001", "latin1");
      await writeFile(file, head);
      expect(await librariesOf(file, AbortSignal.timeout(5000))).to.deep.equal({ file, directories: [], links: [] });
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("can't be told of what is no program", async () => {
    for (const path of ["/none/program", import.meta.filename]) {
      const failure = await librariesOf(path, AbortSignal.timeout(5000)).catch((thrown: unknown) => thrown);
      expect(failure).to.be.instanceOf(Error);
    }
  });
});
