import { expect } from "chai";
import fc from "fast-check";
import { parseChallenges } from "../../../../src/image/registry/challenge.js";
import "../../../support/fuzz.js";

function read(header: string): { scheme: string; parameters: Record<string, string> }[] {
  return parseChallenges(header).map(({ scheme, parameters }) => ({
    scheme,
    parameters: Object.fromEntries(parameters),
  }));
}

describe("parseChallenges", () => {
  it("reads a bearer challenge with its parameters", () => {
    const header = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull"';
    expect(read(header)).to.deep.equal([
      {
        scheme: "bearer",
        parameters: {
          realm: "https://auth.example/token",
          service: "registry.example",
          scope: "repository:a/b:pull",
        },
      },
    ]);
  });

  it("reads several challenges of one header", () => {
    expect(read('Basic realm="a, b", Bearer realm="https://t", service=plain')).to.deep.equal([
      { scheme: "basic", parameters: { realm: "a, b" } },
      { scheme: "bearer", parameters: { realm: "https://t", service: "plain" } },
    ]);
  });

  it("takes quoted pairs apart and reads names in any case", () => {
    expect(read('BEARER Realm="say \\"hi\\""')).to.deep.equal([
      { scheme: "bearer", parameters: { realm: 'say "hi"' } },
    ]);
  });

  it("reads a scheme without parameters", () => {
    expect(read("Negotiate")).to.deep.equal([{ scheme: "negotiate", parameters: {} }]);
  });

  it("ends, without a throw, whatever the header", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z ="',\\]*$/)), (header) => {
        expect(parseChallenges(header)).to.be.an("array");
      }),
    );
  });
});
