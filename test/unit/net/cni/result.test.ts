import { expect } from "chai";
import { addressesOf, dnsOf, parseResult } from "../../../../src/net/cni/result.js";

describe("CNI result", () => {
  it("gives the addresses of the sandbox's interface alone, IPv4 first", () => {
    const result = parseResult({
      cniVersion: "1.0.0",
      interfaces: [{ name: "br0" }, { name: "eth0", sandbox: "/ns" }, { name: "net1", sandbox: "/ns" }],
      ips: [
        { address: "fd00::5/64", interface: 1 },
        { address: "10.0.0.1/24", interface: 0 },
        { address: "10.0.0.5/24", interface: 1 },
        { address: "10.9.0.5/24", interface: 2 },
        { address: "10.0.0.6/24" },
      ],
    });
    expect(addressesOf(result, "eth0")).to.deep.equal(["10.0.0.5", "10.0.0.6", "fd00::5"]);
  });

  it("refuses an address that is none", () => {
    for (const address of ["10.0.0.1", "10.0.0.1/33", "fd00::/129", "a/8", "10.0.0.1/8/8"]) {
      expect(() => parseResult({ ips: [{ address }] }), address).to.throw();
    }
  });

  it("gives name servers and domains, and leaves out what would break resolv.conf", () => {
    expect(dnsOf(parseResult({ dns: {} }))).to.equal(undefined);
    const dns = { nameservers: ["10.0.0.53", "x\ny"], domain: "pod.example", search: ["a b"], options: ["ndots:5"] };
    expect(dnsOf(parseResult({ dns }))).to.deep.equal({
      servers: ["10.0.0.53"],
      searches: ["pod.example"],
      options: ["ndots:5"],
    });
  });
});
