import { expect } from "chai";
import { endpointOf } from "../../../../src/image/registry/endpoint.js";
import { retryAfterMs } from "../../../../src/image/registry/http.js";

describe("retryAfterMs", () => {
  it("reads seconds and dates, bounded", () => {
    expect(retryAfterMs("2")).to.equal(2000);
    expect(retryAfterMs("999999")).to.equal(60_000);
    expect(retryAfterMs(new Date(Date.now() - 5000).toUTCString())).to.equal(0);
    expect(retryAfterMs("")).to.equal(undefined);
    expect(retryAfterMs("soon")).to.equal(undefined);
  });
});

describe("endpointOf", () => {
  it("reaches this machine and the hosts named in the config without TLS, and nobody else", () => {
    expect(endpointOf("127.0.0.1:5000", [])).to.equal("http://127.0.0.1:5000");
    expect(endpointOf("localhost", [])).to.equal("http://localhost");
    expect(endpointOf("[::1]:5000", [])).to.equal("http://[::1]:5000");
    expect(endpointOf("registry.example:5000", ["registry.example:5000"])).to.equal("http://registry.example:5000");
    expect(endpointOf("registry.example:5000", ["registry.example"])).to.equal("http://registry.example:5000");
    expect(endpointOf("registry.example:5001", ["registry.example:5000"])).to.equal("https://registry.example:5001");
    expect(endpointOf("localhost.example", [])).to.equal("https://localhost.example");
    expect(endpointOf("127.0.0.1.example", [])).to.equal("https://127.0.0.1.example");
  });

  it("knows where Docker Hub's API is", () => {
    expect(endpointOf("docker.io", [])).to.equal("https://registry-1.docker.io");
  });
});
