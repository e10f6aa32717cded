import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { RuntimeError } from "../../../src/base/errors.js";
import { toStatus } from "../../../src/grpc/status.js";

describe("the status of a failed call", () => {
  it("has the code of the error and its whole message", () => {
    const thrown = new RuntimeError("notFound", "sandbox 3f2a does not exist", { stage: "find", hint: "list them" });
    expect(toStatus(thrown)).to.deep.equal({
      code: status.NOT_FOUND,
      details: "find: sandbox 3f2a does not exist (list them)",
    });
  });

  it("is INTERNAL for what nobody foresaw", () => {
    expect(toStatus(new TypeError("x is not a function"))).to.deep.equal({
      code: status.INTERNAL,
      details: "x is not a function",
    });
  });

  it("keeps the message of an `unknown` error as it is, which kubelet reads by its prefix", () => {
    expect(toStatus(new RuntimeError("unknown", "RegistryUnavailable: no route"))).to.deep.equal({
      code: status.UNKNOWN,
      details: "RegistryUnavailable: no route",
    });
  });

  it("tells the caller's cancelling from a limit that has passed", () => {
    expect(toStatus(new RuntimeError("canceled", "")).code).to.equal(status.CANCELLED);
    expect(toStatus(new RuntimeError("deadlineExceeded", "")).code).to.equal(status.DEADLINE_EXCEEDED);
  });

  it("cuts a message that is too long for a header", () => {
    expect(toStatus(new Error("x".repeat(100_000))).details).to.have.length(4097);
  });
});
