import { expect } from "chai";
import { newContainerId, newBoxId, type ContainerId } from "../../../../src/base/ids.js";
import { CpuSets, placeIn, type Place } from "../../../../src/runtime/container/cpu-sets.js";
import type { Box } from "../../../../src/vmm/box.js";
import type { CpuSet } from "../../../../src/vmm/cgroup/cpu-set.js";

const never = new AbortController().signal;
const on = (cpusetCpus: string, cpusetMems = ""): Place => ({ cpusetCpus, cpusetMems });

function parts(isShared = true): {
  box: Box;
  set: string[];
  records: Map<ContainerId, Place>;
  sets: CpuSets;
} {
  const set: string[] = [];
  const confineTo = ({ cpus, mems }: CpuSet): Promise<void> => {
    if (cpus.includes("63")) return Promise.reject(new Error("no such CPU"));
    set.push(`${cpus}/${mems}`);
    return Promise.resolve();
  };
  const box = { id: newBoxId(), exit: undefined, confineTo } as unknown as Box;
  const records = new Map<ContainerId, Place>();
  return {
    box,
    set,
    records,
    sets: new CpuSets(
      (id) => (id === box.id ? records : new Map()),
      () => isShared,
    ),
  };
}

describe("CPUs of a Box", () => {
  const [one, two] = [newContainerId(), newContainerId()];

  it("are those of all its containers together, and all when one may run anywhere", async () => {
    const { box, set, records, sets } = parts();
    records.set(one, on("0-1", "0"));
    await sets.settle(box);
    records.set(two, on("3", "0"));
    await sets.settle(box);
    records.set(two, on(""));
    await sets.settle(box);
    records.clear();
    await sets.settle(box);
    expect(set).to.deep.equal(["0-1/0", "0-1,3/0", "/"]);
  });

  it("count a container before it has a record, and no longer when it gets none", async () => {
    const { box, set, records, sets } = parts();
    records.set(one, on("1"));
    await sets.claim(box, two, on("2"), never);
    await sets.claim(box, one, on("4"), never);
    await sets.release(box, one);
    await sets.release(box, two);
    expect(set).to.deep.equal(["1,2/", "2,4/", "1,2/", "1/"]);
  });

  it("are back where they were when the host has not what is asked for, or the work with them fails", async () => {
    const { box, set, records, sets } = parts();
    records.set(one, on("1"));
    await sets.settle(box);
    const asked = sets.claim(box, one, on("63"), never);
    expect(await asked.then(String, String)).to.equal("Error: no such CPU");
    const failing = sets.during(box, one, on("2"), never, () => Promise.reject(new Error("the agent is gone")));
    expect(await failing.then(String, String)).to.equal("Error: the agent is gone");
    expect(set).to.deep.equal(["1/", "1/", "2/", "1/"]);
  });

  it("are set again for a Box that a daemon takes up, whatever the one before had set", async () => {
    const { box, set, sets } = parts();
    await sets.settle(box); // a new Box has all
    await sets.takeUp(box);
    expect(set).to.deep.equal(["/"]);
  });

  it("are nobody's business for a pod of the host, whose containers have groups of their own", async () => {
    const { box, set, sets } = parts(false);
    await sets.claim(box, one, placeIn(undefined), never);
    await sets.claim(box, one, on("1"), never);
    expect(set).to.deep.equal([]);
  });
});
