import { expect } from "chai";
import { configOf } from "../../../src/config/load.js";
import { cgroupDriverFinding, nativeFinding } from "../../../src/cli/pod-findings.js";

describe("what check says of pods' surroundings", () => {
  const groups = (driver: "cgroupfs" | "systemd", runs: boolean) =>
    cgroupDriverFinding({ cgroup: { driver, outlivesContainer: false, memoryMib: 0 } }, () => Promise.resolve(runs));

  it("is that the cgroup driver fits who runs the machine", async () => {
    expect(await groups("systemd", true)).to.include({ verdict: "OK", detail: "systemd" });
    expect(await groups("cgroupfs", false)).to.include({ verdict: "OK", detail: "cgroupfs" });
  });

  it("is what to do where it does not", async () => {
    const absent = await groups("systemd", false);
    expect(absent.verdict).to.equal("missing");
    expect(absent.remedy).to.contain('cgroup.driver = "cgroupfs"');
    const beside = await groups("cgroupfs", true);
    expect(beside.verdict).to.equal("optional");
    expect(beside.remedy).to.contain('cgroup.driver = "systemd"');
  });

  const withRunc = (runc: string, more: Readonly<Record<string, unknown>> = {}) =>
    configOf(
      new Map(Object.entries({ "native.runc": runc, ...more }).map(([name, value]) => [name, { value, from: "test" }])),
    );

  it("is that runc is missing only where pods need it", async () => {
    const without = await nativeFinding(withRunc("/nonexistent/runc"));
    expect(without.verdict).to.equal("optional");
    for (const more of [{ host_namespaces: "native" }, { handlers: { host: { driver: "native" } } }]) {
      const needed = await nativeFinding(withRunc("/nonexistent/runc", more));
      expect(needed).to.include({ verdict: "missing" });
      expect(needed.detail).to.contain("/nonexistent/runc is not an executable program");
      expect(needed.detail).to.contain("install the package runc");
    }
  });
});
