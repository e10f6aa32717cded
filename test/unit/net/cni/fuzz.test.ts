/** What CNI plugins print and what an operator's tools write into the configuration's directory. */
import { expect } from "chai";
import { isIP } from "node:net";
import { ZodError } from "zod";
import { RuntimeError } from "../../../../src/base/errors.js";
import { parseNetworkFile, parsePlugin } from "../../../../src/net/cni/network-list.js";
import { addressesOf, dnsOf, parseResult } from "../../../../src/net/cni/result.js";
import { cniVersions } from "../../../../src/net/cni/versions.js";
import { inheritedNames } from "../../../support/fuzz.js";
import { fuzz } from "../../../support/fuzzing/run.js";

const result = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "br0" }, { name: "eth0", mac: "02:00:00:00:00:01", sandbox: "/run/netns/a" }],
  ips: [
    { address: "10.1.0.5/24", gateway: "10.1.0.1", interface: 1 },
    { address: "fd00::5/64", interface: 1 },
  ],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: { nameservers: ["10.0.0.53"], domain: "pod.example", search: ["a.example"], options: ["ndots:5"] },
};
const oldResult = { cniVersion: "0.2.0", ip4: { ip: "10.1.0.5/24" }, ip6: { ip: "fd00::5/64" }, dns: {} };
const list = {
  cniVersion: "1.0.0",
  cniVersions: ["0.4.0", "1.1.0"],
  name: "pods",
  disableCheck: "true",
  plugins: [
    { type: "bridge", ipam: { type: "host-local" } },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
};
const plugin = { cniVersion: "0.4.0", name: "pods", type: "ptp", mtu: 1400 };
const words = ["null", "{}", "[]", '"', "\\u0000", "true", "../", ...inheritedNames, ...cniVersions];

function json(input: Buffer): unknown {
  try {
    return JSON.parse(input.toString());
  } catch {
    return undefined;
  }
}

const ownNames = Object.getOwnPropertyNames(Object.prototype).sort();

function expectNoPollution(): void {
  expect(Object.getOwnPropertyNames(Object.prototype).sort()).to.deep.equal(ownNames);
  expect(Object.keys({})).to.deep.equal([]);
}

describe("damaged CNI", () => {
  it("results give addresses and words of resolv.conf and nothing else, or are refused", async function () {
    this.timeout(0);
    await fuzz({
      name: "cni-results",
      seeds: [result, oldResult, { cniVersion: "1.0.0" }].map((one) => JSON.stringify(one)),
      words,
      tried: (input) => {
        const value = json(input);
        if (value === undefined) return false;
        let parsed;
        try {
          parsed = parseResult(value);
        } catch (thrown) {
          if (!(thrown instanceof ZodError)) throw thrown;
          return false;
        } finally {
          expectNoPollution();
        }
        for (const address of addressesOf(parsed, "eth0")) expect(isIP(address), address).to.not.equal(0);
        const { servers = [], searches = [], options = [] } = dnsOf(parsed) ?? {};
        for (const server of servers) expect(isIP(server), server).to.not.equal(0);
        for (const word of [...searches, ...options]) expect(word).to.match(/^[!-~]{1,255}$/);
        // What a record of it gives after a restart.
        const again = parseResult(JSON.parse(JSON.stringify(parsed)));
        expect(addressesOf(again, "eth0")).to.deep.equal(addressesOf(parsed, "eth0"));
        expect(dnsOf(again)).to.deep.equal(dnsOf(parsed));
        return true;
      },
    });
  });

  it("configurations name a network and plugins without a way out of their directories, or are refused", async function () {
    this.timeout(0);
    await fuzz({
      name: "cni-configurations",
      seeds: [list, plugin].map((one) => JSON.stringify(one)),
      words,
      tried: (input) => {
        const file = refused(() => parseNetworkFile(input.toString()));
        const alone = refused(() => parsePlugin(input.toString()));
        expectNoPollution();
        for (const { type } of [...(file?.list.plugins ?? []), ...(alone === undefined ? [] : [alone])]) {
          expect(type)
            .to.match(/^[^/\0]+$/)
            .and.not.match(/^\.\.?$/);
        }
        if (file === undefined) return false;
        expect(file.list.name).to.match(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/);
        expect(file.list.cniVersion).to.be.oneOf([...cniVersions]);
        if (file.list.plugins.length > 0) {
          const { list: again } = parseNetworkFile(JSON.stringify(file.list));
          // As JSON has it, which knows no -0.
          expect(again).to.deep.equal(JSON.parse(JSON.stringify(file.list)));
        }
        return true;
      },
    });
  });
});

function refused<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (thrown) {
    if (!(thrown instanceof RuntimeError) || thrown.code !== "invalidArgument") throw thrown;
    expect(thrown.message.length).to.be.lessThan(10_000);
    return undefined;
  }
}
