import { expect } from "chai";
import { attachmentAddresses, otherInterfaces, type Attachment } from "../../../src/net/attachment.js";

const attachment = (result: Record<string, unknown>): Attachment => ({
  list: { name: "net", cniVersion: "1.0.0", disableCheck: false, disableGC: false, plugins: [{ type: "bridge" }] },
  interfaceName: "eth0",
  args: {},
  capabilities: {},
  result,
});

describe("a result with several interfaces", () => {
  const sandbox = "/run/netns/x";
  const several = attachment({
    interfaces: [
      { name: "br0" },
      { name: "veth1234" },
      { name: "eth0", sandbox },
      { name: "net1", sandbox },
      { name: "lo", sandbox },
    ],
    ips: [
      { address: "10.2.0.5/24", interface: 3 },
      { address: "fd00::5/64", interface: 2 },
      { address: "10.1.0.5/24", interface: 2 },
      { address: "10.1.0.1/24", interface: 0 },
    ],
  });

  it("gives the addresses of the sandbox's own alone, IPv4 first", () => {
    expect(attachmentAddresses(several)).to.deep.equal(["10.1.0.5", "fd00::5"]);
  });

  it("names those of the sandbox beside its own", () => {
    expect(otherInterfaces(several)).to.deep.equal(["net1"]);
  });

  it("takes addresses that name no interface for the sandbox's", () => {
    expect(attachmentAddresses(attachment({ ips: [{ address: "10.1.0.5/24" }] }))).to.deep.equal(["10.1.0.5"]);
    expect(otherInterfaces(attachment({ ips: [] }))).to.deep.equal([]);
  });
});
