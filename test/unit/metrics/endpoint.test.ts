import { connect } from "node:net";
import { expect } from "chai";
import { createLogger } from "../../../src/base/log.js";
import { type MetricsEndpoint, serveMetrics } from "../../../src/metrics/endpoint.js";
import { Metrics } from "../../../src/metrics/metrics.js";
import { failureOf } from "../runtime/pod/fakes.js";
import { sample } from "./sample.js";

const log = createLogger("error", { write: () => undefined });

describe("the metrics endpoint", () => {
  let endpoint: MetricsEndpoint;
  let trouble: string | undefined;
  const metrics = new Metrics();

  before(async () => {
    endpoint = await serveMetrics({ host: "127.0.0.1", port: 0 }, metrics, () => trouble, log);
  });

  after(async () => {
    await endpoint.close();
  });

  it("serves the figures in Prometheus' format", async () => {
    metrics.calls.began("Version")("OK");
    const response = await fetch(`${endpoint.url}/metrics?from=here`);
    expect(response.status).to.equal(200);
    expect(response.headers.get("content-type")).to.match(/^text\/plain; version=0\.0\.4/);
    expect(sample(await response.text(), 'a3s_box_cri_calls_total{rpc="Version",code="OK"}')).to.equal(1);
  });

  it("says whether the daemon is well, and why not", async () => {
    expect(await (await fetch(`${endpoint.url}/healthz`)).text()).to.equal("ok\n");
    trouble = "shutting down";
    const response = await fetch(`${endpoint.url}/healthz`);
    trouble = undefined;
    expect([response.status, await response.text()]).to.deep.equal([503, "shutting down\n"]);
  });

  it("serves nothing else, and takes nothing", async () => {
    expect((await fetch(`${endpoint.url}/`)).status).to.equal(404);
    expect((await fetch(`${endpoint.url}/metrics`, { method: "POST", body: "x" })).status).to.equal(405);
    const head = await fetch(`${endpoint.url}/metrics`, { method: "HEAD" });
    expect([head.status, await head.text()]).to.deep.equal([200, ""]);
  });

  it("says what to set when the address is taken", async () => {
    const port = Number(new URL(endpoint.url).port);
    const failure = await failureOf(serveMetrics({ host: "127.0.0.1", port }, metrics, () => undefined, log));
    expect(failure).to.have.property("code", "unavailable");
    expect(failure.message).to.match(/serve metrics: .*EADDRINUSE.*\(set metrics\.address\)/);
  });

  it("closes with clients that say nothing", async () => {
    const second = await serveMetrics({ host: "127.0.0.1", port: 0 }, metrics, () => undefined, log);
    const socket = connect(Number(new URL(second.url).port), "127.0.0.1");
    await new Promise((resolve) => socket.once("connect", resolve));
    const cut = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => undefined);
    await second.close();
    await cut;
  });
});
