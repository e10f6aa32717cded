import { expect } from "chai";
import fc from "fast-check";
import "../../../support/fuzz.js";
import {
  addressOf,
  addressText,
  isWithin,
  merged,
  rangeOf,
  without,
  type Range,
} from "../../../../src/net/egress/ranges.js";

const small = fc
  .tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 20 }))
  .map(([first, more]): Range => ({ family: 4, first: BigInt(first), last: BigInt(first + more) }));

function members(ranges: readonly Range[]): number[] {
  return Array.from({ length: 100 }, (_, at) => at).filter((at) =>
    ranges.some(({ first, last }) => BigInt(at) >= first && BigInt(at) <= last),
  );
}

describe("ranges of addresses", () => {
  it("are read as they are written, and written as they are read", () => {
    for (const text of ["0.0.0.0", "255.255.255.255", "10.1.2.3"]) {
      expect(addressText(4, addressOf(text)?.value ?? 0n)).to.equal(text);
    }
    for (const text of ["::", "::1", "2001:db8::1", "fe80::1:2", "1:2:3:4:5:6:7:8", "64:ff9b::1.2.3.4"]) {
      const found = addressOf(text);
      expect(found?.family, text).to.equal(6);
      expect(addressOf(addressText(6, found?.value ?? 0n)), text).to.deep.equal(found);
    }
    expect(addressOf("::ffff:1.2.3.4")).to.deep.equal(addressOf("1.2.3.4"));
    for (const none of ["", "1.2.3", "1.2.3.4.5", "fe80::1%eth0", "example.org", "1.2.3.4/8"]) {
      expect(addressOf(none), none).to.equal(undefined);
    }
    expect(rangeOf("10.1.2.3/8")).to.deep.equal({ family: 4, first: 10n << 24n, last: (11n << 24n) - 1n });
    expect(rangeOf("::ffff:10.0.0.0/104")).to.deep.equal(rangeOf("10.0.0.0/8"));
    for (const none of ["10.0.0.0/33", "::/129", "10.0.0.0/", "/8", "::ffff:1.2.3.4/64"]) {
      expect(rangeOf(none), none).to.equal(undefined);
    }
  });

  it("lose what is taken from them and nothing else; merged, they have what they had", () => {
    fc.assert(
      fc.property(small, fc.array(small, { maxLength: 5 }), (range, others) => {
        const gone = new Set(members(others));
        expect(members(without(range, others))).to.deep.equal(members([range]).filter((at) => !gone.has(at)));
        const all = merged([range, ...others]);
        expect(members(all)).to.deep.equal(members([range, ...others]));
        for (const [at, one] of all.entries()) {
          const next = all[at + 1];
          if (next !== undefined) expect(next.first > one.last + 1n).to.equal(true);
          expect(isWithin(one, one)).to.equal(true);
        }
      }),
    );
  });
});
