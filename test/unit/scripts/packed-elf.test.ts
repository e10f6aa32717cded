import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { packedElf } from "../../../scripts/setup/elf/packed.js";

const run = promisify(execFile);

interface Segment {
  readonly type: string;
  readonly offset: number;
  readonly address: string;
  readonly bytes: number;
}

/** Ends with 42, where its data are what they should be. */
const program = `
volatile int thirty = 30;
volatile int zero[5000];
__attribute__((noreturn)) void _start(void) {
  long status = thirty + zero[4999] + 12;
  __asm__ volatile("syscall" : : "a"(60L), "D"(status) : "rcx", "r11", "memory");
  __builtin_unreachable();
}
`;
/** As kernels are laid out: segments apart, each at the start of a large page. */
const layout = `
ENTRY(_start)
SECTIONS {
  . = 0x400000;
  .text : { *(.text*) }
  .note : { *(.note*) }
  . = ALIGN(0x200000);
  .data : { *(.data*) }
  .bss : { *(.bss*) }
}
`;

/** As readelf has them. */
async function segments(path: string): Promise<Segment[]> {
  const { stdout } = await run("readelf", ["--program-headers", "--wide", path]);
  const line = /^ +([A-Z_]+) +0x(\w+) (0x\w+) 0x\w+ 0x(\w+) 0x\w+ /gm;
  return Array.from(stdout.matchAll(line), ([, type = "", offset = "", address = "", bytes = ""]) => ({
    ...{ type, offset: Number.parseInt(offset, 16), address, bytes: Number.parseInt(bytes, 16) },
  }));
}

describe("a packed program", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-elf-"));
  });
  after(async () => {
    await rm(directory, { recursive: true });
  });

  it("has every byte at its address, runs, and has no nothing between", async () => {
    const at = (name: string): string => join(directory, name);
    const [loose, packed] = [at("loose"), at("packed")];
    await writeFile(at("a.c"), program);
    await writeFile(at("a.lds"), layout);
    const link = ["-Wl,-z,max-page-size=0x200000", "-Wl,--build-id=sha1", "-Wl,-T", at("a.lds")];
    await run("gcc", ["-O1", "-static", "-nostdlib", "-ffreestanding", "-o", loose, at("a.c"), ...link]);
    const before = await readFile(loose);
    const bytes = packedElf(before);
    await writeFile(packed, bytes, { mode: 0o755 });
    const [was, is] = [await segments(loose), await segments(packed)];
    expect(is.map(({ type, address, bytes }) => [type, address, bytes])).to.deep.equal(
      was.map(({ type, address, bytes }) => [type, address, bytes]),
    );
    for (const [index, { offset, bytes: length }] of was.entries()) {
      const place = is[index]?.offset ?? -1;
      expect(
        bytes.subarray(place, place + length).equals(before.subarray(offset, offset + length)),
        String(index),
      ).to.equal(true);
    }
    expect(bytes.length).to.be.below(before.length / 2);
    for (const path of [loose, packed]) {
      const ended = await run(path).then(
        () => 0,
        (thrown: unknown) => (thrown as { code: number }).code,
      );
      expect(ended, path).to.equal(42);
    }
  });

  it("is made of no other file", () => {
    expect(() => packedElf(Buffer.from("MZ"))).to.throw("no little-endian ELF-64 file");
  });
});
