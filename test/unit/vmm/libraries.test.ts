import { expect } from "chai";
import { librariesOf, parseLdd } from "../../../src/vmm/drivers/libraries.js";

describe("the libraries of a program", () => {
  it("are read from what ldd prints, with the loader, without what the kernel brings", () => {
    const text = [
      "\tlinux-vdso.so.1 (0x00007ffd2a7f2000)",
      "\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f9b1c000000)",
      "\tlibgone.so.3 => not found",
      "\t/lib64/ld-linux-x86-64.so.2 (0x00007f9b1d000000)",
      "",
    ].join("\n");
    expect(parseLdd(text)).to.deep.equal(["/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"]);
  });

  it("lie in folders that are no links, and include those of a running program", async () => {
    const { file, folders } = await librariesOf(process.execPath, AbortSignal.timeout(5000));
    expect(file).to.match(/^\//);
    expect(folders.some((folder) => /^\/.*lib/.test(folder))).to.equal(true);
  });

  it("can't be told of what is no program", async () => {
    const failure = await librariesOf("/none/program", AbortSignal.timeout(5000)).catch((thrown: unknown) => thrown);
    expect(failure).to.be.instanceOf(Error);
  });
});
