import { expect } from "chai";
import { limitMsOf } from "../../../../src/cri/grpc/limits.js";

describe("the limit of an RPC", () => {
  it("is under kubelet's own for those that only read or change small things", () => {
    for (const rpc of ["Version", "StopPodSandbox", "ListContainers", "ImageStatus"]) {
      expect(limitMsOf(rpc, {}), rpc).to.be.a("number").and.be.lessThan(120_000);
    }
  });

  it("is none for those that have one of their own, and for streams that live as long as their reader", () => {
    for (const rpc of ["PullImage", "RunPodSandbox", "GetContainerEvents"]) {
      expect(limitMsOf(rpc, {}), rpc).to.equal(null);
    }
  });

  it("is over what the request itself may wait for a process, which may be for ever", () => {
    const base = limitMsOf("Version", {}) ?? 0;
    expect(limitMsOf("StopContainer", { timeout: 30n })).to.equal(base + 30_000);
    expect(limitMsOf("StopContainer", { timeout: 0n })).to.equal(base);
    expect(limitMsOf("ExecSync", { timeout: 10n })).to.equal(base + 10_000);
    expect(limitMsOf("ExecSync", { timeout: 0n })).to.equal(null);
    expect(limitMsOf("StopContainer", { timeout: 2n ** 62n })).to.equal(null);
  });
});
