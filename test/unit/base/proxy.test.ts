import { expect } from "chai";
import fc from "fast-check";
import { proxyFor, proxyFromEnvironment } from "../../../src/base/proxy.js";
import "../../support/fuzz.js";

const both = { HTTP_PROXY: "http://plain.example:3128", HTTPS_PROXY: "secure.example:3129" };

function via(url: string, environment: Record<string, string> = both): string {
  return proxyFor(proxyFromEnvironment(environment), new URL(url))?.href ?? "direct";
}

describe("the proxy for a URL", () => {
  it("is chosen by the URL's scheme; one without a scheme is an HTTP proxy", () => {
    expect(via("http://r.example/v2")).to.equal("http://plain.example:3128/");
    expect(via("https://r.example/v2")).to.equal("http://secure.example:3129/");
    expect(via("https://r.example/v2", { HTTP_PROXY: "http://plain.example" })).to.equal("direct");
    expect(via("https://r.example/v2", { https_proxy: "http://lower.example" })).to.equal("http://lower.example/");
  });

  it("is never asked for this machine", () => {
    for (const host of ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"]) {
      expect(via(`https://${host}/`), host).to.equal("direct");
    }
  });

  // The rows are those of Go's httpproxy, as its documentation words them.
  for (const [noProxy, url, direct] of [
    ["example.com", "https://example.com/", true],
    ["example.com", "https://bar.example.com/", true],
    ["example.com", "https://barexample.com/", false],
    [".example.com", "https://example.com/", false],
    [".example.com", "https://a.b.example.com/", true],
    ["*.example.com", "https://a.example.com/", true],
    ["*.example.com", "https://example.com/", false],
    ["EXAMPLE.com", "https://example.com/", true],
    ["example.com:443", "https://example.com/", true],
    ["example.com:5000", "https://example.com/", false],
    ["example.com:5000", "https://example.com:5000/", true],
    ["10.1.2.3", "https://10.1.2.3:5000/", true],
    ["10.1.2.3:80", "https://10.1.2.3/", false],
    ["10.0.0.0/8", "https://10.200.1.1/", true],
    ["10.0.0.0/8", "https://11.0.0.1/", false],
    ["10.0.0.0/8", "https://ten.example/", false],
    ["fd00::/8", "https://[fd12::1]:5000/", true],
    ["[fd12::1]:5000", "https://[fd12::1]:5000/", true],
    ["fd12::1", "https://[fd12:0:0::1]/", true],
    ["other.example, *", "https://r.example/", true],
    [" a.example , r.example ", "https://r.example/", true],
    ["10.0.0.0/99", "https://10.0.0.1/", false],
    [":80,.", "https://r.example/", false],
  ] as const) {
    it(`is ${direct ? "not asked" : "asked"} for ${url} with NO_PROXY="${noProxy}"`, () => {
      expect(via(url, { ...both, NO_PROXY: noProxy }) === "direct").to.equal(direct);
    });
  }

  it("is refused by the variable's name, without its text, when it is no URL", () => {
    expect(() => proxyFromEnvironment({ HTTPS_PROXY: "http://user:secret@[" }))
      .to.throw(/^HTTPS_PROXY in the environment/)
      .with.property("message")
      .that.does.not.include("secret");
  });

  it("is found, without a throw, whatever NO_PROXY says", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f.:/,*[\]]*$/)), (noProxy) => {
        expect(via("https://10.1.1.1/", { ...both, NO_PROXY: noProxy })).to.be.a("string");
      }),
    );
  });
});
