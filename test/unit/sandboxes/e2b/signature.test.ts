import { expect } from "chai";
import fc from "fast-check";
import { RuntimeError } from "../../../../src/base/errors.js";
import { signatureOf, signedBy } from "../../../../src/sandboxes/e2b/files/signature.js";
import { fuzz } from "../../../support/fuzzing/run.js";
import "../../../support/fuzz.js";

const token = "secret";
const nowMs = 1_700_000_000_000;

function passes(query: string | Record<string, string>, method = "GET", at = nowMs): boolean {
  try {
    signedBy(token, method, new URLSearchParams(query), at);
    return true;
  } catch (thrown) {
    if (thrown instanceof RuntimeError && thrown.code === "unauthenticated") return false;
    throw thrown;
  }
}

describe("a signed link to a file", () => {
  it("has the form that the SDKs make", () => {
    // Of e2b 2.51.0's getSignature, for these values.
    const signature = signatureOf(token, { path: "/a b", operation: "read", user: "root", expiration: "1700000100" });
    expect(signature).to.match(/^v1_[A-Za-z0-9+/]{43}$/);
    expect(passes({ path: "/a b", username: "root", signature, signature_expiration: "1700000100" })).to.equal(true);
  });

  it("is good for its path, its user, what it lets do and its time alone", () => {
    const signature = signatureOf(token, { path: "/a", operation: "read", user: "", expiration: "1700000100" });
    const good = { path: "/a", signature, signature_expiration: "1700000100" };
    expect(passes(good)).to.equal(true);
    expect(passes(good, "POST")).to.equal(false);
    expect(passes(good, "GET", 1_700_000_100_000)).to.equal(false);
    for (const change of [{ path: "/b" }, { username: "root" }, { signature_expiration: "1700000101" }]) {
      expect(passes({ ...good, ...change }), JSON.stringify(change)).to.equal(false);
    }
    expect(passes({ path: "/a", signature })).to.equal(false);
    expect(passes({ ...good, signature_expiration: "9".repeat(30) })).to.equal(false);
    expect(passes({ ...good, signature_expiration: "1e99" })).to.equal(false);
  });

  it("for a path with colons is not one for a part of it and another user", () => {
    // Both are "x:read:y:read::secret" when they are joined.
    const signature = signatureOf(token, { path: "x:read:y", operation: "read", user: "" });
    expect(passes({ path: "x:read:y", signature })).to.equal(true);
    expect(passes({ path: "x", username: "y:read:", signature })).to.equal(false);
  });

  it("made without the token never passes", () => {
    const links = fc.record({ path: fc.string(), username: fc.string(), signature: fc.string() });
    fc.assert(fc.property(links, (link) => !passes(link)));
  });

  it("damaged, is refused with what is not as it was signed", async () => {
    const signature = signatureOf(token, { path: "/a/b", operation: "read", user: "u" });
    const good = new URLSearchParams({ path: "/a/b", username: "u", signature }).toString();
    await fuzz({
      name: "signed-links",
      seeds: [good],
      words: ["signature_expiration=", "path=", "&", "%00", "v1_"],
      tried(input) {
        const text = input.toString("latin1");
        const taken = passes(text);
        const query = new URLSearchParams(text);
        const asSigned = query.get("path") === "/a/b" && query.get("username") === "u";
        if (taken && !(asSigned && query.get("signature") === signature)) throw new Error("a forged link is taken");
        return taken;
      },
    });
  });
});
