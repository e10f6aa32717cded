import { expect } from "chai";
import { endpointsOf, type Endpoint } from "../../../../src/image/registry/endpoint.js";
import { parseHostsFile, plainHost } from "../../../../src/image/registry/hosts-file.js";

function own(host: string, plainHttp: readonly string[] = []): string {
  return endpointsOf(host, [plainHost], plainHttp).map(shown).join();
}

function fromFile(host: string, text: string): string[] {
  return endpointsOf(host, parseHostsFile(text, "/certs/hosts.toml").hosts, []).map(shown);
}

function shown({ root, tryTlsFirst, mirror }: Endpoint): string {
  return `${root.href}${tryTlsFirst ? " or not" : ""}${mirror ? " mirror" : ""}`;
}

describe("where a registry is asked", () => {
  it("is without TLS where the config names the host, by TLS everywhere else", () => {
    expect(own("registry.example:5000", ["registry.example:5000"])).to.equal("http://registry.example:5000/v2");
    expect(own("registry.example:5000", ["registry.example"])).to.equal("http://registry.example:5000/v2");
    expect(own("registry.example:5001", ["registry.example:5000"])).to.equal("https://registry.example:5001/v2");
    expect(own("localhost.example")).to.equal("https://localhost.example/v2");
    expect(own("127.0.0.1.example:5000")).to.equal("https://127.0.0.1.example:5000/v2");
  });

  it("is found out on this machine, but for the ports that say it", () => {
    expect(own("127.0.0.1:5000")).to.equal("https://127.0.0.1:5000/v2 or not");
    expect(own("[::1]:5000")).to.equal("https://[::1]:5000/v2 or not");
    expect(own("localhost:5000", ["localhost:5000"])).to.equal("http://localhost:5000/v2");
    expect(own("localhost:80")).to.equal("http://localhost/v2");
    expect(own("localhost")).to.equal("https://localhost/v2");
  });

  it("is Docker Hub's API for each of its names, also in a hosts.toml that names the web site", () => {
    expect(own("docker.io")).to.equal("https://registry-1.docker.io/v2");
    expect(fromFile("docker.io", 'server = "https://docker.io"')).to.deep.equal(["https://registry-1.docker.io/v2"]);
  });

  it("is each mirror in the file's order, then the server", () => {
    const text = `
      server = "https://registry-1.docker.io"
      [host."https://z.example"]
      [host."http://a.example:5000/hub"]
      [host."https://b.example/api/v2/proxy"]
      override_path = true
      [host."registry-1.docker.io"]
    `;
    expect(fromFile("docker.io", text)).to.deep.equal([
      "https://z.example/v2 mirror",
      "http://a.example:5000/hub/v2 mirror",
      "https://b.example/api/v2/proxy mirror",
      "https://registry-1.docker.io/v2",
      "https://registry-1.docker.io/v2",
    ]);
  });

  it("tries TLS first where the file says http:// but has words about TLS", () => {
    const text = '[host."http://a.example:5000"]\nskip_verify = true\n[host."http://b.example"]\nskip_verify = true';
    expect(fromFile("r.example", text)).to.deep.equal([
      "http://a.example:5000/v2 or not mirror",
      "http://b.example/v2 mirror",
      "https://r.example/v2",
    ]);
  });
});
