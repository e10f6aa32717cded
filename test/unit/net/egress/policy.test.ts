import { expect } from "chai";
import { codeOf } from "../../../../src/base/errors.js";
import {
  compileEgress,
  egressSpec,
  judge,
  mayPin,
  planEgress,
  type EgressWanted,
} from "../../../../src/net/egress/policy.js";
import { knownRange } from "../../../../src/net/egress/ranges.js";

const checks = { mayOpen: ["10.0.0.0/8", "fc00::/7"], mayOpenNode: true, nameServers: [] };

function plan(allowOut: readonly string[], denyOut: readonly string[] = [], rest?: EgressWanted["rest"]) {
  return planEgress({ allowOut, denyOut, ...(rest === undefined ? {} : { rest }) }, checks);
}

function codeFor(work: () => unknown): string {
  try {
    work();
    return "taken";
  } catch (thrown) {
    return codeOf(thrown);
  }
}

describe("egress rules of a sandbox", () => {
  it("deny the rest where something is allowed, and where all is denied", () => {
    expect(plan([]).rest).to.equal("allow");
    expect(plan([], ["192.0.2.0/24"]).rest).to.equal("allow");
    expect(plan(["192.0.2.1"]).rest).to.equal("deny");
    expect(plan(["192.0.2.1"], [], "allow").rest).to.equal("allow");
    for (const all of ["0.0.0.0/0", "::/0"]) expect(plan([], [all])).to.include({ rest: "deny" });
    expect(plan([], ["0.0.0.0/0", "192.0.2.0/24"]).deny).to.deep.equal(["192.0.2.0/24"]);
  });

  it("refuse what is no address and no name, and names where all is allowed", () => {
    for (const wrong of [
      "*",
      "*.*.org",
      "a b",
      "http://example.org",
      "example.org:443",
      "1.2.3",
      "10.0.0.0/33",
      "",
      "a..b",
      "-a.org",
    ]) {
      expect(
        codeFor(() => plan([wrong])),
        wrong,
      ).to.equal("invalidArgument");
    }
    expect(codeFor(() => plan([], ["example.org"]))).to.equal("invalidArgument");
    expect(codeFor(() => plan(["example.org"], [], "allow"))).to.equal("invalidArgument");
    expect(codeFor(() => plan(Array.from({ length: 1001 }, () => "192.0.2.1")))).to.equal("invalidArgument");
    expect(plan(["Example.ORG.", "*.example.net"]).names).to.deep.equal(["example.org", "*.example.net"]);
  });

  it("open nothing of the node and beside the Box, unless they may: not by its address, and by no range around it", () => {
    const beside = [knownRange("10.1.2.0/24"), knownRange("fd00::/64")];
    const allowOut = ["10.1.2.3", "10.1.2.0/25", "10.1.0.0/16", "fd00::5", "fd00::/16"];
    const verdicts = (mayOpenNode: boolean) => {
      const egress = compileEgress(planEgress({ allowOut, denyOut: [] }, { ...checks, mayOpenNode }), beside);
      return ["10.1.2.3", "10.1.2.200", "10.1.3.1", "fd00::5", "fd00:0:0:1::5"].map((one) => judge(egress, one));
    };
    expect(verdicts(false)).to.deep.equal(["node", "node", "allowed", "node", "allowed"]);
    expect(verdicts(true)).to.deep.equal(["allowed", "node", "allowed", "allowed", "allowed"]);
  });

  it("are of a record of an earlier daemon what they were", () => {
    const old = { allow: ["10.1.2.3"], names: [], deny: [], rest: "deny", nameServers: [] };
    expect(egressSpec.parse(old)).to.deep.equal({ ...old, opensNode: true });
  });

  it("open what is closed only where they lie within, and only what clients may open", () => {
    expect(codeFor(() => plan(["169.254.169.254"]))).to.equal("permissionDenied");
    expect(codeFor(() => plan(["::ffff:169.254.169.254"]))).to.equal("permissionDenied");
    expect(codeFor(() => plan(["64:ff9b::a9fe:a9fe"]))).to.equal("permissionDenied");
    expect(codeFor(() => plan(["192.168.1.0/24"]))).to.equal("permissionDenied");
    const egress = compileEgress(plan(["10.1.0.0/16", "0.0.0.0/0", "fd00::/16", "::/0"]), [knownRange("10.1.2.3")]);
    const verdicts = {
      "10.1.0.1": "allowed",
      "10.1.2.3": "node",
      "10.2.0.1": "private",
      "8.8.8.8": "allowed",
      "169.254.169.254": "metadata",
      "169.254.1.1": "link-local",
      "100.100.100.200": "metadata",
      "100.64.0.1": "shared",
      "127.0.0.1": "loopback",
      "224.0.0.1": "multicast",
      "255.255.255.255": "reserved",
      "fd00::1": "allowed",
      "fd00:ec2::254": "metadata",
      "fd20:ce::254": "metadata",
      "fd21::1": "private",
      "fe80::1": "link-local",
      "::1": "loopback",
      "::ffff:10.2.0.1": "private",
      "64:ff9b::0a02:0001": "private",
      "64:ff9b::808:808": "allowed",
      "2001:db8::1": "allowed",
      nonsense: "not-ip",
    };
    for (const [address, verdict] of Object.entries(verdicts))
      expect(judge(egress, address), address).to.equal(verdict);
  });

  it("judge a denial before the rest and after what is allowed", () => {
    const egress = compileEgress(plan(["192.0.2.1"], ["192.0.2.0/24"], "allow"), []);
    expect(["192.0.2.1", "192.0.2.2", "192.0.3.1"].map((one) => judge(egress, one))).to.deep.equal([
      "allowed",
      "denied",
      "allowed",
    ]);
    const named = compileEgress(plan(["example.org"], ["192.0.2.0/24"]), []);
    expect(["192.0.2.2", "198.51.100.1", "10.0.0.1"].map((one) => mayPin(named, one))).to.deep.equal([
      false,
      true,
      false,
    ]);
  });
});
