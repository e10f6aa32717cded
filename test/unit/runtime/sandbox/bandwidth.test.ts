import { expect } from "chai";
import { bandwidthOf } from "../../../../src/runtime/sandbox/bandwidth.js";

describe("bandwidth annotations", () => {
  it("are Kubernetes quantities in bits per second", () => {
    expect(bandwidthOf({})).to.equal(undefined);
    const burst = 4_294_967_295;
    expect(bandwidthOf({ "kubernetes.io/ingress-bandwidth": "10M" })).to.deep.equal({
      ingressRate: 10_000_000,
      ingressBurst: burst,
    });
    expect(bandwidthOf({ "kubernetes.io/egress-bandwidth": "1Ki" })).to.deep.equal({
      egressRate: 1024,
      egressBurst: burst,
    });
  });

  it("are refused when they are none, or out of kubelet's range", () => {
    for (const text of ["", "fast", "-1M", "1", "2P", "10 M"]) {
      expect(() => bandwidthOf({ "kubernetes.io/egress-bandwidth": text }), text).to.throw("no bandwidth");
    }
  });
});
