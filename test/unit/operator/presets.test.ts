/** The operator has of the coding agents what makes a pod; the runtime's own table has all of it. */
import { expect } from "chai";
import { presets as operators } from "../../../operator/src/box/presets.js";
import { presets } from "../../../src/agents/presets/presets.js";

describe("the operator's coding agents", () => {
  it("are those of the runtime, begun alike, with skills at the same places", () => {
    const known = Object.values(presets).filter(({ kind }) => kind !== "custom");
    expect([...operators.keys()]).to.have.members(known.map(({ kind }) => kind));
    for (const { kind, task, skills } of known) {
      // It may say more, where the runtime writes a file in its place.
      expect(operators.get(kind)?.task.slice(0, task.length), kind).to.deep.equal(task);
      expect(operators.get(kind)?.skills, kind).to.deep.equal(skills);
    }
  });
});
