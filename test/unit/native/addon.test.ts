import { expect } from "chai";
import { missingFunctions, loadNative } from "../../../src/native/addon.js";

describe("the addon's loader", () => {
  it("says what to do when the addon was never built", () => {
    expect(() => loadNative("/nowhere")).to.throw(
      /^the native addon \/nowhere\/native\/a3s_box\.node can't be loaded: .*\(run npm run quickstart, or npm run setup\)$/,
    );
  });

  it("names each declared function that an addon of another version lacks", () => {
    expect(missingFunctions({})).to.include.members(["spawn", "removeTree"]);
    const all = Object.fromEntries(missingFunctions(null).map((name) => [name, () => undefined]));
    expect(missingFunctions(all)).to.deep.equal([]);
    expect(missingFunctions({ ...all, spawn: 1 })).to.deep.equal(["spawn"]);
  });
});
