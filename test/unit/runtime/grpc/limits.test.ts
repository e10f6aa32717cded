import { expect } from "chai";
import { limitMsOf } from "../../../../src/runtime/grpc/limits.js";

describe("the limit of an RPC", () => {
  it("is under kubelet's own for those that only read or change small things", () => {
    for (const rpc of ["Version", "StopPodSandbox", "ListContainers", "ImageStatus"]) {
      expect(limitMsOf(rpc), rpc).to.be.a("number").and.be.lessThan(120_000);
    }
  });

  it("is none for those that have one of their own, and for streams that live as long as their reader", () => {
    for (const rpc of ["PullImage", "RunPodSandbox", "StopContainer", "ExecSync", "GetContainerEvents"]) {
      expect(limitMsOf(rpc), rpc).to.equal(null);
    }
  });
});
