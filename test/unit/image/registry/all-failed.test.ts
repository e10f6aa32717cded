import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { allFailed } from "../../../../src/image/registry/blob-stream.js";

describe("what several hosts of a registry have answered", () => {
  const notFound = (host: string): RuntimeError => new RuntimeError("notFound", `${host} has no such image`);

  it("is the registry's own answer, and what else its mirrors said, each sentence once", () => {
    const failure = allFailed([notFound("a mirror"), notFound("a mirror"), notFound("the registry")]);
    expect(failure).to.have.property("code", "notFound");
    expect(failure)
      .to.have.property("message")
      .that.equals("the registry has no such image; before that: a mirror has no such image");
  });

  it("is one sentence where all say the same", () => {
    const failure = allFailed([notFound("the registry"), notFound("the registry")]);
    expect(failure).to.have.property("message", "the registry has no such image");
  });
});
