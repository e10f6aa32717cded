import { expect } from "chai";
import fc from "fast-check";
import { RuntimeError } from "../../../../src/base/errors.js";
import { formatReference, parseReference } from "../../../../src/image/reference/reference.js";
import "../../../support/fuzz.js";

const hex = "0123456789abcdef".repeat(4);

function full(raw: string, registry = "docker.io"): string {
  return formatReference(parseReference(raw, registry));
}

describe("parseReference", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["busybox", "docker.io/library/busybox:latest"],
    ["busybox:1.36", "docker.io/library/busybox:1.36"],
    ["team/app", "docker.io/team/app:latest"],
    ["docker.io/busybox", "docker.io/library/busybox:latest"],
    ["index.docker.io/library/busybox", "docker.io/library/busybox:latest"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/app:v1", "localhost:5000/app:v1"],
    ["127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"],
    ["[::1]:5000/app", "[::1]:5000/app:latest"],
    ["registry.example/app", "registry.example/app:latest"],
    ["REG/app", "REG/app:latest"],
    [`busybox@sha256:${hex}`, `docker.io/library/busybox@sha256:${hex}`],
    [`registry.example:5000/app:1.2@sha256:${hex}`, `registry.example:5000/app@sha256:${hex}`],
    ["a__b/c.d/e---f:T_a.g-1", "docker.io/a__b/c.d/e---f:T_a.g-1"],
  ];
  for (const [raw, wanted] of cases) {
    it(`reads ${raw} as ${wanted}`, () => {
      expect(full(raw)).to.equal(wanted);
    });
  }

  it("puts a short name on the configured registry, without the library directory of Docker Hub", () => {
    expect(full("busybox", "registry.example:5000")).to.equal("registry.example:5000/busybox:latest");
  });

  const wrong = [
    "",
    ":tag",
    "UPPER",
    "a//b",
    "-a",
    "a:",
    "a:b c",
    `a:${"t".repeat(129)}`,
    "a@sha256:12",
    `a@sha512:${hex}`,
    "../a",
    "a/../b",
    "host:port/a",
    "http://host/a",
    "a b",
    "a".repeat(300),
    "a\u0000b",
  ];
  for (const raw of wrong) {
    it(`refuses ${JSON.stringify(raw.slice(0, 30))} as an invalid argument that says the form`, () => {
      expect(() => parseReference(raw, "docker.io"))
        .to.throw(RuntimeError, /write it as/)
        .with.property("code", "invalidArgument");
    });
  }

  it("reads its own full form as the same reference", () => {
    const part = fc.stringMatching(/^[a-z0-9]+([._-][a-z0-9]+)*$/).filter((text) => text.length < 40);
    const host = fc.stringMatching(/^[a-z0-9]{1,10}\.[a-z]{2,5}(:[0-9]{1,5})?$/);
    const tail = fc.oneof(
      fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/).map((tag) => `:${tag}`),
      fc.constant(`@sha256:${hex}`),
    );
    fc.assert(
      fc.property(host, fc.array(part, { minLength: 1, maxLength: 4 }), tail, (name, parts, end) => {
        const text = `${name}/${parts.join("/")}${end}`;
        expect(full(text)).to.equal(text);
        expect(full(full(text))).to.equal(full(text));
      }),
    );
  });

  it("throws nothing but a RuntimeError, whatever the text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-zA-Z0-9:@/._[\]-]*$/)), (raw) => {
        try {
          parseReference(raw, "docker.io");
        } catch (thrown) {
          expect(thrown).to.be.instanceOf(RuntimeError);
        }
      }),
    );
  });
});
