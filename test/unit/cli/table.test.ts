import { expect } from "chai";
import { table } from "../../../src/cli/table.js";

describe("a table", () => {
  it("has columns as wide as their longest cell, and no trailing blanks", () => {
    expect(
      table([
        ["A", "B", "C"],
        ["long", "", ""],
        ["x", "y", "z"],
      ]),
    ).to.equal("A     B  C\nlong\nx     y  z\n");
  });
});
