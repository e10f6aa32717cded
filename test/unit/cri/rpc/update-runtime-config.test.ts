import { expect } from "chai";
import { createLogger } from "../../../../src/base/log.js";
import type { CallContext } from "../../../../src/cri/deps.js";
import { updateRuntimeConfig } from "../../../../src/cri/rpc/update-runtime-config.js";

describe("UpdateRuntimeConfig", () => {
  const call: CallContext = { signal: new AbortController().signal, rpc: "Test", log: createLogger("error") };
  const update = (podCidr: string) => updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr } } }, call);

  it("takes a pod CIDR of each family, both, and none", async () => {
    for (const podCidr of ["10.1.0.0/16", "fd00::/64", "10.1.0.0/16,fd00::/64", ""]) {
      expect(await update(podCidr)).to.deep.equal({});
    }
  });

  it("refuses what is no range of addresses, and says which part", async () => {
    for (const podCidr of [
      "10.1.0.0",
      "10.1.0.0/33",
      "10.1.0.0/16,",
      "10.1.0/16",
      "fe80::1%eth0/64",
      "::/129",
      "x/8",
      "/8",
    ]) {
      const thrown: unknown = await update(podCidr).catch((caught: unknown) => caught);
      expect(thrown, podCidr).to.have.property("code", "invalidArgument");
    }
  });
});
