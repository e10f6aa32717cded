import { expect } from "chai";
import fc from "fast-check";
import { RuntimeError } from "../../../../src/base/errors.js";
import { parseHostsFile, type HostSettings } from "../../../../src/image/registry/hosts-file.js";
import "../../../support/fuzz.js";

const path = "/etc/containerd/certs.d/registry.example/hosts.toml";

function first(text: string): HostSettings {
  const host = parseHostsFile(text, path).hosts[0];
  if (host === undefined) throw new Error("no host");
  return host;
}

describe("parseHostsFile", () => {
  it("reads every key that containerd has", () => {
    const text = `
      server = "https://registry.example"

      [host."https://mirror.example:5000"]
        capabilities = ["pull", "Resolve"]
        ca = ["ca.pem", "/abs/other.pem"]
        client = [["client.cert", "client.key"], "both.pem"]
        skip_verify = true
        override_path = false
        dial_timeout = "3s"
        [host."https://mirror.example:5000".header]
          x-one = "1"
          X-Two = ["a", "b"]
    `;
    expect(first(text)).to.deep.equal({
      root: "https://mirror.example:5000/v2",
      capabilities: ["pull", "resolve"],
      caFiles: ["/etc/containerd/certs.d/registry.example/ca.pem", "/abs/other.pem"],
      clientPairs: [
        {
          certFile: "/etc/containerd/certs.d/registry.example/client.cert",
          keyFile: "/etc/containerd/certs.d/registry.example/client.key",
        },
        {
          certFile: "/etc/containerd/certs.d/registry.example/both.pem",
          keyFile: "/etc/containerd/certs.d/registry.example/both.pem",
        },
      ],
      skipVerify: true,
      headers: { "x-one": ["1"], "x-two": ["a", "b"] },
      dialTimeoutMs: 3000,
    });
    expect(parseHostsFile(text, path).hosts[1]).to.include({ root: "https://registry.example/v2" });
  });

  it("takes one file for `ca` and `client`, and top-level words for the registry itself", () => {
    const host = first('ca = "/ca.pem"\nclient = "/client.pem"');
    expect(host).to.deep.include({ root: undefined, caFiles: ["/ca.pem"] });
    expect(host.clientPairs).to.deep.equal([{ certFile: "/client.pem", keyFile: "/client.pem" }]);
  });

  it("lets a host without capabilities do everything", () => {
    expect(first('[host."https://m.example"]\ncapabilities = []').capabilities).to.include("push");
  });

  for (const [text, root] of [
    ["m.example", "https://m.example/v2"],
    ["https://m.example/", "https://m.example/v2"],
    ["https://m.example/v2/", "https://m.example/v2"],
    ["https://m.example/a//b/../c/", "https://m.example/a/c/v2"],
  ] as const) {
    it(`takes "${text}" for ${root}`, () => {
      expect(first(`[host."${text}"]`).root).to.equal(root);
    });
  }

  it("leaves the path as it is with override_path", () => {
    expect(first('[host."https://m.example/api/"]\noverride_path = true').root).to.equal("https://m.example/api");
    expect(first('[host."https://m.example"]\noverride_path = true').root).to.equal("https://m.example");
  });

  it("reports keys that mean nothing, and takes the rest", () => {
    const text = 'skip_verfy = true\n[host."https://m.example"]\ncapability = ["pull"]';
    expect(parseHostsFile(text, path).unknownKeys).to.deep.equal(["skip_verfy", 'host."https://m.example".capability']);
  });

  for (const [text, key] of [
    ['[host."https://m.example"]\nskip_verify = "yes"', /host\."https:\/\/m\.example"\.skip_verify in .*true or false/],
    ['[host."https://m.example"]\ncapabilities = ["pul"]', /capabilities\.0 in .*"pull", "resolve", "push"/],
    ['[host."https://m.example"]\ncapabilities = "pull"', /capabilities in .*a list of/],
    ["ca = 5", /^ca in .*a file's path/],
    ['client = [["a"]]', /^client in .*pairs/],
    ['dial_timeout = "soon"', /^dial_timeout in .*5s/],
    ["dial_timeout = 5", /^dial_timeout in /],
    ["server = true", /^server in .*a URL/],
    ['[host."ftp://m.example"]', /host\."ftp:\/\/m\.example" in .*URL/],
    ['server = "https://"', /^server in .*URL/],
    ["header = 5", /^header in /],
    ["host = 5", /^host in /],
    ["server =", /is not TOML/],
  ] as const) {
    it(`refuses ${JSON.stringify(text)} with the file and the key`, () => {
      expect(() => parseHostsFile(text, path))
        .to.throw(RuntimeError, key)
        .with.property("message")
        .that.includes(path);
    });
  }

  it("throws nothing but RuntimeError, whatever the text", () => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom("server = ", '[host."https://a"]', "ca = [", "]", 'header = { a = "', "capabilities = "),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        try {
          parseHostsFile(lines.join("\n"), path);
        } catch (thrown) {
          expect(thrown).to.be.instanceOf(RuntimeError);
        }
      }),
    );
  });
});
