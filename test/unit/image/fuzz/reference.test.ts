import { expect } from "chai";
import fc from "fast-check";
import { RuntimeError } from "../../../../src/base/errors.js";
import {
  formatName,
  formatReference,
  parseReference,
  type Reference,
} from "../../../../src/image/reference/reference.js";
import { inheritedNames, times } from "../../../support/fuzz.js";

const hex = "0123456789abcdef".repeat(4);
const registries = ["docker.io", "registry.example:5000", "localhost", "[::1]:5000"];

/** Pieces of references, good and bad, one after another: most of what matters is near the borders. */
const pieces = fc.oneof(
  fc.constantFrom(
    ...["/", ":", "@", ".", "-", "_", "__", "--", "..", "//", "[", "]", "%2f", " ", "\n", "\u0000", "\u200b"],
  ),
  fc.constantFrom(...["docker.io", "index.docker.io", "library", "localhost", "a", "A", "0", "é", "sha256", "sha512"]),
  fc.constantFrom(`sha256:${hex}`, hex, "127.0.0.1", "[::1]", ":5000", ":99999999", "x".repeat(128), "y".repeat(256)),
  fc.constantFrom(...inheritedNames),
  fc.string({ maxLength: 5 }),
  fc.string({ unit: "binary", maxLength: 5 }),
);
const texts = fc.oneof(
  fc.array(pieces, { maxLength: 10 }).map((all) => all.join("")),
  fc
    .array(fc.constantFrom("a", "b0", "A", ".", "/", ":", "@", "-", "_", "5"), { maxLength: 12 })
    .map((all) => all.join("")),
  fc.string(),
);

function tryParse(text: string, registry: string): Reference | RuntimeError {
  try {
    return parseReference(text, registry);
  } catch (thrown) {
    if (thrown instanceof RuntimeError) return thrown;
    throw thrown;
  }
}

describe("any text as an image reference", () => {
  it("is read, or refused as an invalid argument in a message of bounded length", () => {
    fc.assert(
      fc.property(texts, fc.constantFrom(...registries), (text, registry) => {
        const read = tryParse(text, registry);
        if (!(read instanceof RuntimeError)) return;
        expect(read.code).to.equal("invalidArgument");
        expect(read.message.length).to.be.lessThan(700);
      }),
      times(5),
    );
  });

  it("that is read is the same when it is printed and read again", () => {
    let accepted = 0;
    fc.assert(
      fc.property(texts, fc.constantFrom(...registries), fc.constantFrom(...registries), (text, registry, other) => {
        const read = tryParse(text, registry);
        if (read instanceof RuntimeError) return;
        accepted += 1;
        expect(parseReference(formatReference(read), other)).to.deep.equal(read);
      }),
      times(12),
    );
    expect(accepted).to.be.greaterThan(50);
  });

  it("that is read stays within the bounds of names, tags and digests, and can be a path and a URL's part", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const read = tryParse(text, "docker.io");
        if (read instanceof RuntimeError) return;
        expect(formatName(read).length).to.be.lessThan(256);
        expect(read.repository)
          .to.match(/^[a-z0-9][a-z0-9._/-]*$/)
          .and.not.match(/\.\.|\/\/|\/$/);
        if (read.kind === "tag") expect(read.tag).to.match(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/);
        else expect(read.digest).to.match(/^sha256:[0-9a-f]{64}$/);
        expect(new URL(`http://x/v2/${read.repository}/manifests/y`).pathname).to.equal(
          `/v2/${read.repository}/manifests/y`,
        );
      }),
      times(12),
    );
  });

  it("of a million characters is refused before the test's limit", function () {
    this.timeout(60_000);
    for (const part of ["a", "a/", "a.", "a-", "a__", "-", ":", "@", "A."]) {
      const read = tryParse(part.repeat(1_000_000 / part.length), "docker.io");
      expect(read, part).to.be.instanceOf(RuntimeError);
    }
  });
});
