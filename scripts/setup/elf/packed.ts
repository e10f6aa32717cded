/** System V ABI, ELF-64, little endian: offsets in the file's head and in a program header. */
const head = { bytes: 64, phoff: 32, shoff: 40, phentsize: 54, phnum: 56, shnum: 60, shstrndx: 62 } as const;
const segment = { bytes: 56, type: 0, offset: 8, vaddr: 16, filesz: 32, align: 48 } as const;
const loaded = 1;
const pageBytes = 4096;
const magic = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);

/**
 * A program whose segments lie in the file one page after the other: a linker for 2 MiB pages leaves up to that much nothing
 * before each, which a kernel's loader has no use for. Sections, which nothing loads, are gone.
 */
export function packedElf(file: Buffer): Buffer {
  if (!file.subarray(0, magic.length).equals(magic)) throw new Error("no little-endian ELF-64 file");
  const [at, count] = [Number(file.readBigUInt64LE(head.phoff)), file.readUInt16LE(head.phnum)];
  if (file.readUInt16LE(head.phentsize) !== segment.bytes) throw new Error("program headers of another size");
  const table = Buffer.from(file.subarray(at, at + count * segment.bytes));
  const entries = Array.from({ length: count }, (_, index) => entryAt(table, index * segment.bytes));
  const parts: { readonly from: number; readonly to: number; readonly bytes: number }[] = [];
  let end = head.bytes + table.length;
  for (const { type, offset, bytes } of entries) {
    if (type !== loaded) continue;
    const to = Math.ceil(end / pageBytes) * pageBytes;
    parts.push({ from: offset, to, bytes });
    end = to + bytes;
  }
  for (const entry of entries) {
    if (entry.type !== loaded && entry.bytes === 0) continue; // says something by being there
    const part = parts.find(({ from, bytes }) => entry.offset >= from && entry.offset + entry.bytes <= from + bytes);
    if (part === undefined) throw new Error("a segment that is in none that is loaded");
    entry.moveTo(part.to + entry.offset - part.from);
  }
  const packed = Buffer.alloc(end);
  file.copy(packed, 0, 0, head.bytes);
  packed.writeBigUInt64LE(BigInt(head.bytes), head.phoff);
  packed.writeBigUInt64LE(0n, head.shoff);
  packed.writeUInt16LE(0, head.shnum);
  packed.writeUInt16LE(0, head.shstrndx);
  table.copy(packed, head.bytes);
  for (const { from, to, bytes } of parts) file.copy(packed, to, from, from + bytes);
  return packed;
}

function entryAt(table: Buffer, at: number) {
  const number = (field: number): number => Number(table.readBigUInt64LE(at + field));
  const type = table.readUInt32LE(at + segment.type);
  if (type === loaded && number(segment.vaddr) % pageBytes !== 0) throw new Error("a segment begins within a page");
  return {
    ...{ type, offset: number(segment.offset), bytes: number(segment.filesz) },
    moveTo: (offset: number): void => {
      table.writeBigUInt64LE(BigInt(offset), at + segment.offset);
      if (type === loaded) table.writeBigUInt64LE(BigInt(pageBytes), at + segment.align);
    },
  };
}
