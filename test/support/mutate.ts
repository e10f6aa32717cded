/** Damages archives, always the same way for the same seed. */

/** mulberry32: numbers from 0 up to 1. */
export function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const blockBytes = 512;
/** Offset and length of what a header says: name, mode, uid, size, type, link, magic, device, GNU sparse map. */
const fields = [
  [0, 100],
  [100, 8],
  [108, 8],
  [124, 12],
  [136, 12],
  [156, 1],
  [157, 100],
  [257, 8],
  [329, 16],
  [386, 110],
] as const;
const values = [
  "\0",
  "7777777777777",
  "-1",
  "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
  "\xff\xfe",
  "../..",
  "/",
  "S",
  "1",
  "x",
  "g",
  "L",
  "5",
];

/** A damaged copy of a tar. Checksums of headers are set right, but for some, so that what is behind them is reached. */
export function mutateTar(tar: Uint8Array, random: () => number): Buffer {
  let bytes = Buffer.from(tar);
  const below = (limit: number): number => Math.floor(random() * limit);
  for (let round = below(4); round >= 0; round -= 1) {
    const block = below(Math.max(1, Math.floor(bytes.length / blockBytes))) * blockBytes;
    switch (below(6)) {
      case 0:
        for (let flip = below(20); flip >= 0; flip -= 1) flipBit(bytes, below(bytes.length * 8));
        break;
      case 1:
        bytes = bytes.subarray(0, below(bytes.length + 1));
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, block), bytes.subarray(block + blockBytes)]);
        break;
      case 3: {
        const from = below(Math.floor(bytes.length / blockBytes) + 1) * blockBytes;
        bytes = Buffer.concat([
          bytes.subarray(0, block),
          bytes.subarray(from, from + blockBytes),
          bytes.subarray(block),
        ]);
        break;
      }
      default: {
        const [at, length] = fields[below(fields.length)] ?? [0, 100];
        const value = Buffer.from(values[below(values.length)] ?? "", "latin1").subarray(0, length);
        if (block + at + value.length <= bytes.length) value.copy(bytes, block + at);
      }
    }
    if (bytes.length === 0) break;
  }
  if (random() < 0.85) repairChecksums(bytes);
  return bytes;
}

function flipBit(bytes: Buffer, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
}

/** Of all blocks that look like headers. */
function repairChecksums(bytes: Buffer): void {
  for (let at = 0; at + blockBytes <= bytes.length; at += blockBytes) {
    if (!/^[0-7]{6}\0 $/.test(bytes.toString("latin1", at + 148, at + 156))) continue;
    bytes.fill(" ", at + 148, at + 156);
    let sum = 0;
    for (const byte of bytes.subarray(at, at + blockBytes)) sum += byte;
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
  }
}
