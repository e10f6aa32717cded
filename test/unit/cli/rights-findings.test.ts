import { expect } from "chai";
import { capabilitiesFinding, lackingCapabilities, neededCapabilities } from "../../../src/cli/rights-findings.js";

/** proc_pid_status(5), as far as it is looked at. */
const statusOf = (held: bigint): string => `Name:\tnode\nCapPrm:\t0\nCapEff:\t${held.toString(16).padStart(16, "0")}\n`;
const all = [...neededCapabilities.keys()].reduce((set, number) => set | (1n << BigInt(number)), 0n);

describe("the capabilities that check looks for", () => {
  it("are thirteen, and enough by themselves", () => {
    expect(neededCapabilities.size).to.equal(13);
    expect(capabilitiesFinding(statusOf(all))).to.include({ verdict: "OK" });
  });

  it("are named, each that is missing, with what brings it", () => {
    for (const [number, name] of neededCapabilities) {
      expect(lackingCapabilities(statusOf(all & ~(1n << BigInt(number))))).to.deep.equal([name]);
    }
    // Docker's own set, without the flag of any other.
    const finding = capabilitiesFinding(statusOf(0xa804_25fbn));
    expect(finding).to.deep.include({ verdict: "missing", detail: "without NET_ADMIN, SYS_ADMIN" });
    expect(finding.remedy).to.contain("--cap-add NET_ADMIN --cap-add SYS_ADMIN");
  });

  it("are all missing where the kernel does not say", () => {
    expect(lackingCapabilities("Name:\tnode\n")).to.have.length(13);
  });
});
