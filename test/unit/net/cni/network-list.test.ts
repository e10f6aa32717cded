import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { readConfigDirectory } from "../../../../src/net/cni/config-directory.js";
import { parseNetworkFile, type NetworkList } from "../../../../src/net/cni/network-list.js";

const one = (more: object = {}): string => JSON.stringify({ cniVersion: "0.4.0", name: "a", type: "bridge", ...more });
const parseNetworkList = (text: string): NetworkList => parseNetworkFile(text).list;

describe("CNI configuration", () => {
  it("takes a list, and one plugin as a list of one", () => {
    const list = { cniVersion: "1.0.0", name: "n", disableCheck: "True", plugins: [{ type: "ptp", mtu: 9 }] };
    const parsed = parseNetworkList(JSON.stringify(list));
    expect(parsed.disableCheck).to.equal(true);
    expect(parsed.plugins).to.deep.equal([{ type: "ptp", mtu: 9 }]);
    expect(parseNetworkList(one()).plugins[0]?.type).to.equal("bridge");
  });

  it("chooses the newest version that both sides speak", () => {
    const versions = ["0.3.1", "1.1.0", "2.0.0"];
    expect(parseNetworkList(one({ cniVersions: versions })).cniVersion).to.equal("1.1.0");
    expect(() => parseNetworkList(one({ cniVersion: "2.0.0" }))).to.throw('cniVersion: "2.0.0" is not supported');
    expect(parseNetworkList(one({ cniVersion: undefined })).cniVersion).to.equal("0.1.0");
  });

  it("says what is wrong", () => {
    for (const [text, message] of [
      ["{", "not JSON"],
      [one({ name: "a/b" }), "name"],
      [one({ type: "../sh" }), "type"],
      [one({ type: ".." }), "type"],
      [JSON.stringify({ cniVersion: "1.0.0", name: "a", plugins: [] }), "it lists none"],
      [JSON.stringify({ cniVersion: "1.0.0", name: "a", loadOnlyInlinedPlugins: true }), "it lists none"],
      [one({ disableGC: "no" }), "disableGC"],
    ] as const) {
      expect(() => parseNetworkList(text)).to.throw(message);
    }
  });

  describe("in a directory", () => {
    let directory: string;
    before(async () => {
      directory = await mkdtemp(join(tmpdir(), "conf-"));
    });
    after(async () => {
      await rm(directory, { recursive: true });
    });

    it("is there or not", async () => {
      expect((await readConfigDirectory(join(directory, "nowhere"))).chosen).to.equal(undefined);
      expect((await readConfigDirectory(directory)).chosen).to.equal(undefined);
    });

    it("is the first valid file in lexical order, the broken ones before it named", async () => {
      await writeFile(join(directory, "00-readme.txt"), one());
      await writeFile(join(directory, "10-broken.conf"), "{");
      await writeFile(join(directory, "20-b.json"), one({ name: "b" }));
      await writeFile(join(directory, "30-c.conflist"), one({ name: "c" }));
      const { chosen, unusable } = await readConfigDirectory(directory);
      expect(chosen?.list.name).to.equal("b");
      expect(unusable.map(({ file }) => file)).to.deep.equal(["10-broken.conf"]);
    });
  });
});
