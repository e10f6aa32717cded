/**
 * A child that shares this process's memory leaves its stack by execve, _exit or a signal and never returns. What
 * AddressSanitizer believes of such a stack must go with it: the next memory at that place is V8's or a thread's, and
 * using it would be reported as a fault.
 */
import { expect } from "chai";
import { open, readFile } from "node:fs/promises";
import { skipBecause } from "../support/skip.js";
import { failure, native, run, shell } from "./scratch.js";

/** Of x86-64: a byte of shadow says of eight bytes how many may be used. 0 is all. */
const shadowStart = 0x7fff8000n;
const pageBytes = 4096n;
/** A child's stack is at the top of a gap: where the kernel puts what is mapped next. */
const lookedAtBytes = 1n << 20n;
/** Below are the program and what AddressSanitizer keeps to itself. */
const lowest = 0x7000_0000_0000n;
/** What is mapped above is the kernel's. */
const highest = 0x7fff_ffff_f000n;

/**
 * Addresses of memory that is not mapped, and of which AddressSanitizer says that it must not be used. A look takes memory
 * itself, which may come to a place after the map of it was read: a second one has that on its map.
 */
async function poisonedGaps(): Promise<string[]> {
  const found = await lookForPoisonedGaps();
  if (found.length === 0) return found;
  const again = new Set(await lookForPoisonedGaps());
  return found.filter((address) => again.has(address));
}

async function lookForPoisonedGaps(): Promise<string[]> {
  const mapped = (await readFile("/proc/self/maps", "utf8")).matchAll(/^([0-9a-f]+)-([0-9a-f]+) /gm);
  const memory = await open("/proc/self/mem", "r");
  const found: string[] = [];
  let before = lowest;
  try {
    for (const [, from = "", to = ""] of mapped) {
      const start = BigInt(`0x${from}`);
      if (start > highest) break;
      const low = start - before > lookedAtBytes ? start - lookedAtBytes : before;
      for (let page = low; page < start; page += pageBytes) {
        const shadow = Buffer.alloc(Number(pageBytes / 8n));
        await memory.read(shadow, 0, shadow.length, Number(shadowStart + page / 8n));
        if (shadow.some((byte) => byte !== 0)) found.push(`0x${page.toString(16)}`);
      }
      const end = BigInt(`0x${to}`);
      if (end > before) before = end;
    }
  } finally {
    await memory.close();
  }
  return found;
}

describe("stacks of children that share this process's memory", () => {
  before(function () {
    if (process.env["A3S_SANITIZED"] !== "1") skipBecause(this, "there is no AddressSanitizer: npm run test:sanitized");
  });

  it("leave nothing that AddressSanitizer would believe of what comes to their places", async () => {
    expect(await poisonedGaps()).to.deep.equal([]);
    const ids = { extents: [{ inside: 0, outside: 100_000, count: 65_536 }] };
    for (let turn = 0; turn < 8; turn++) {
      await Promise.all([run(shell("exit 0")), failure(() => native.spawn(shell("", { file: "/none" })))]);
      await native.closeFd(await native.openUserNamespace(ids));
    }
    expect(await poisonedGaps()).to.deep.equal([]);
  });
});
