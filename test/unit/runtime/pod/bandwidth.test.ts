import { expect } from "chai";
import { bandwidthOf } from "../../../../src/runtime/pod/bandwidth.js";

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

  it("may have any form that Kubernetes knows", () => {
    for (const [text, rate] of [
      ["10e6", 1e7],
      ["1.5E4", 15_000],
      ["+1M", 1e6],
      [".5M", 5e5],
      ["2.M", 2e6],
      ["5000000m", 5000],
    ] as const) {
      expect(bandwidthOf({ "kubernetes.io/egress-bandwidth": text })?.egressRate, text).to.equal(rate);
    }
  });

  it("are refused when they are none, or out of kubelet's range", () => {
    for (const text of ["", "fast", "-1M", "1", "2P", "1E", "10 M", "1e", ".", "1.2.3M"]) {
      expect(() => bandwidthOf({ "kubernetes.io/egress-bandwidth": text }), text).to.throw("no bandwidth");
    }
  });
});
