import { expect } from "chai";
import fc from "fast-check";
import { podOomScore, qosOf, type PodQos } from "../../../../src/runtime/pod/oom-score.js";
import "../../../support/fuzz.js";

describe("the class of a pod", () => {
  const uid = "pod1f2e-b53c";
  for (const [parent, qos] of [
    [`/kubepods/${uid}`, "guaranteed"],
    [`kubepods/burstable/${uid}`, "burstable"],
    [`/kubepods/besteffort/${uid}`, "bestEffort"],
    [`/machines/kubepods/besteffort/${uid}`, "bestEffort"],
    ["kubepods-pod1f2e_b53c.slice", "guaranteed"],
    ["kubepods-burstable-pod1f2e_b53c.slice", "burstable"],
    ["/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1f2e_b53c.slice", "bestEffort"],
    ["node-kubepods-burstable-pod1f2e_b53c.slice", "burstable"],
    ["", "none"],
    ["/a3s-box", "none"],
    ["/besteffort/burstable", "none"],
  ] as const) {
    it(`in "${parent}" is ${qos}`, () => {
      expect(qosOf(parent)).to.equal(qos);
    });
  }
});

describe("the OOM score of a pod", () => {
  it("is its class's while it has no container", () => {
    const classes: readonly PodQos[] = ["guaranteed", "burstable", "bestEffort", "none"];
    expect(classes.map((qos) => podOomScore(qos, []))).to.deep.equal([-997, 999, 1000, 0]);
  });

  it("is a container's own with one, and that of their requests together with more", () => {
    expect(podOomScore("burstable", [900])).to.equal(900);
    expect(podOomScore("burstable", [900, 950])).to.equal(850);
    expect(podOomScore("bestEffort", [1000, 1000])).to.equal(1000);
    expect(podOomScore("guaranteed", [-997, -997])).to.equal(-997);
    expect(podOomScore("none", [0, 0])).to.equal(0);
  });

  it("does not lift a pod out of its class, nor a pod that is critical for the node out of the reach of none", () => {
    expect(podOomScore("burstable", [400, 300, 200])).to.equal(3);
    expect(podOomScore("burstable", [-997, 999])).to.equal(-997);
  });

  it("is never further from death than its best protected container or a whole class, and the kernel takes it", () => {
    const score = fc.integer({ min: -1000, max: 1000 });
    fc.assert(
      fc.property(fc.array(score, { minLength: 1, maxLength: 8 }), (containers) => {
        const pod = podOomScore("burstable", containers);
        expect(pod).to.be.within(-997, 1000);
        expect(pod).to.be.at.most(Math.max(3, ...containers));
        expect(pod).to.be.at.least(Math.max(-997, Math.min(3, ...containers)));
      }),
    );
  });
});
