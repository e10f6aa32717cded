/** Damages bytes of any format, always the same way for the same numbers. */

const bytesOfInterest = [0, 1, 0x0a, 0x20, 0x22, 0x2f, 0x3d, 0x5c, 0x7f, 0x80, 0xff];
const numbersOfInterest = [
  "0",
  "-1",
  "255",
  "256",
  "65535",
  "65536",
  "4294967295",
  "18446744073709551616",
  "1e9",
  "07",
];
const mostRounds = 6;
const mostSpan = 64;
/** What grows beyond is a matter for tests of their own. */
const mostBytes = 96 * 1024;

/** A few changes to one of the seeds; `words` are what the format knows. */
export function damaged(seeds: readonly Uint8Array[], words: readonly string[], random: () => number): Buffer {
  const below = (limit: number): number => Math.floor(random() * limit);
  const seed = (): Buffer => Buffer.from(seeds[below(seeds.length)] ?? Buffer.alloc(0));
  let bytes = seed();
  for (let round = below(mostRounds); round > 0; round -= 1) bytes = changed(bytes, { below, words, other: seed });
  return bytes.subarray(0, mostBytes);
}

interface Means {
  readonly below: (limit: number) => number;
  readonly words: readonly string[];
  readonly other: () => Buffer;
}

function changed(bytes: Buffer, { below, words, other }: Means): Buffer {
  const at = below(bytes.length + 1);
  const to = Math.min(bytes.length, at + 1 + below(mostSpan));
  const replaced = (by: Uint8Array, until = at): Buffer =>
    Buffer.concat([bytes.subarray(0, at), by, bytes.subarray(until)]);
  switch (below(9)) {
    case 0:
      return flipped(bytes, below);
    case 1:
      return bytes.subarray(0, at);
    case 2:
      return replaced(Buffer.alloc(0), to);
    case 3:
      return replaced(bytes.subarray(at, to));
    case 4:
      return replaced(Buffer.from([bytesOfInterest[below(bytesOfInterest.length)] ?? 0]), at + below(2));
    case 5:
      return otherNumber(bytes, numbersOfInterest[below(numbersOfInterest.length)] ?? "", below);
    case 6: {
      const tail = other();
      return Buffer.concat([bytes.subarray(0, at), tail.subarray(below(tail.length + 1))]);
    }
    case 7:
      return replaced(Buffer.alloc(1 + below(4096), bytes[at] ?? 0x41));
    default:
      return replaced(Buffer.from(words[below(words.length)] ?? "", "latin1"), below(2) === 0 ? at : to);
  }
}

function flipped(bytes: Buffer, below: (limit: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  for (let flip = below(8); flip >= 0 && copy.length > 0; flip -= 1) {
    const at = below(copy.length);
    copy[at] = (copy[at] ?? 0) ^ (1 << below(8));
  }
  return copy;
}

/** One of the decimal numbers in a text gives way to another. */
function otherNumber(bytes: Buffer, number: string, below: (limit: number) => number): Buffer {
  const text = bytes.toString("latin1");
  const found = [...text.matchAll(/\d+/g)];
  const chosen = found[below(found.length)];
  if (chosen === undefined) return bytes;
  return Buffer.from(text.slice(0, chosen.index) + number + text.slice(chosen.index + chosen[0].length), "latin1");
}
