import { expect } from "chai";
import { BoundedLabels } from "../../../src/metrics/bounded-labels.js";
import { Metrics } from "../../../src/metrics/metrics.js";
import { sample } from "./sample.js";

describe("figures", () => {
  it("count pulls by registry: bytes, time, failures by reason, those under way", async () => {
    const metrics = new Metrics();
    const [good, bad, running] = ["docker.io", "quay.io", "quay.io"].map((host) => metrics.pulls.began(host));
    good?.received(1000);
    good?.received(24);
    good?.ended(undefined);
    bad?.received(7);
    bad?.ended("unavailable");
    const text = await metrics.text();
    expect(sample(text, 'a3s_box_image_pull_bytes_total{registry="docker.io"}')).to.equal(1024);
    expect(sample(text, 'a3s_box_image_pull_bytes_total{registry="quay.io"}')).to.equal(7);
    expect(sample(text, 'a3s_box_image_pull_seconds_count{registry="docker.io"}')).to.equal(1);
    expect(sample(text, 'a3s_box_image_pull_seconds_count{registry="quay.io"}')).to.equal(undefined);
    expect(sample(text, 'a3s_box_image_pull_failures_total{registry="quay.io",reason="unavailable"}')).to.equal(1);
    expect(sample(text, "a3s_box_image_pulls_in_flight")).to.equal(1);
    running?.ended("canceled");
    expect(sample(await metrics.text(), "a3s_box_image_pulls_in_flight")).to.equal(0);
  });

  it("stay few when a thousand registries are named, and keep those that the operator names", async () => {
    const metrics = new Metrics(["registry.example:5000"]);
    for (let index = 0; index < 1000; index += 1) metrics.pulls.began(`host-${index}`).ended("unavailable");
    metrics.pulls.began("registry.example:5000").ended("notFound");
    const lines = (await metrics.text()).split("\n").filter((line) => line.startsWith("a3s_box_image_pull_failures"));
    expect(lines.length).to.be.within(10, 70);
    expect(lines.join("\n")).to.include('registry="registry.example:5000",reason="notFound"} 1');
    const counts = lines.map((line) => Number(line.split(" ").at(-1)));
    expect(counts.reduce((sum, count) => sum + count)).to.equal(1001);
    expect(lines.find((line) => line.includes('registry="other"'))).to.match(/ 9\d\d$/);
  });

  it("count calls by RPC and status", async () => {
    const metrics = new Metrics();
    metrics.calls.began("Version")("OK");
    metrics.calls.began("Version")("OK");
    metrics.calls.began("Version")("CANCELLED");
    metrics.calls.began("PullImage");
    const text = await metrics.text();
    expect(sample(text, 'a3s_box_cri_calls_total{rpc="Version",code="OK"}')).to.equal(2);
    expect(sample(text, 'a3s_box_cri_calls_total{rpc="Version",code="CANCELLED"}')).to.equal(1);
    expect(sample(text, 'a3s_box_cri_call_seconds_count{rpc="Version"}')).to.equal(3);
    expect(sample(text, 'a3s_box_cri_calls_in_flight{rpc="PullImage"}')).to.equal(1);
    expect(sample(text, 'a3s_box_cri_calls_in_flight{rpc="Version"}')).to.equal(0);
  });

  it("tell every state, also one in which nothing is, as it is when they are asked for", async () => {
    const metrics = new Metrics();
    let now = ["ready", "ready"];
    const read = (): string[] => now;
    metrics.watchStates({ name: "a3s_box_sandboxes", help: "x", states: ["ready", "notReady"], read });
    let text = await metrics.text();
    expect(sample(text, 'a3s_box_sandboxes{state="ready"}')).to.equal(2);
    expect(sample(text, 'a3s_box_sandboxes{state="notReady"}')).to.equal(0);
    now = ["notReady"];
    text = await metrics.text();
    expect(sample(text, 'a3s_box_sandboxes{state="ready"}')).to.equal(0);
    expect(sample(text, 'a3s_box_sandboxes{state="notReady"}')).to.equal(1);
  });

  it("of one daemon are its own", async () => {
    const [one, other] = [new Metrics(), new Metrics()];
    one.calls.began("Version")("OK");
    expect(await other.text()).not.to.include("Version");
  });
});

describe("BoundedLabels", () => {
  it('gives the values that came first, and those known from the start, and "other" for the rest', () => {
    const labels = new BoundedLabels(2, ["a"]);
    expect(["b", "c", "a", "b", "d"].map((value) => labels.of(value))).to.deep.equal(["b", "other", "a", "b", "other"]);
  });
});
