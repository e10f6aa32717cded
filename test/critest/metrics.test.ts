import { expect } from "chai";
import { failure, image, runtime, status } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busyboxSource } from "../support/images.js";
import { createContainer, removePod, runPod, vmmPid } from "../support/pods.js";
import { pushImage, startRegistry, type TestRegistry } from "../support/registry.js";
import { eventually } from "../support/wait.js";
import { sample } from "../unit/metrics/sample.js";

describe("The metrics endpoint of a daemon", () => {
  let registry: TestRegistry;
  let daemon: Daemon;
  let url: string;
  before(async () => {
    registry = await startRegistry();
    const config = `[image]\nplain_http = ["${registry.host}"]\n[metrics]\naddress = "127.0.0.1:0"\n`;
    daemon = await Daemon.start({ config });
    url = await eventually("the endpoint's address", 10_000, async () => {
      return /"url":"([^"]+)","msg":"metrics"/.exec(await daemon.logTail(1 << 20))?.[1];
    });
  });
  after(async () => {
    await daemon.remove();
    await registry.stop();
  });

  const figures = async (): Promise<string> => await (await fetch(`${url}/metrics`)).text();
  const spec = (name: string) => ({
    image: name,
    annotations: {},
    userSpecifiedImage: "",
    runtimeHandler: "",
    imageRef: "",
  });

  it("is well once CRI is served", async () => {
    expect(await (await fetch(`${url}/healthz`)).text()).to.equal("ok\n");
  });

  it("tells of pulls that came and of pulls that failed, by registry", async () => {
    const pushed = await pushImage(registry.host, "counted", "1", await busyboxSource());
    await daemon.cri.call(image.pullImage, { image: spec(pushed.reference) });
    await failure(
      daemon.cri.call(image.pullImage, { image: spec(`${registry.host}/missing:1`) }),
      status.NOT_FOUND,
      /missing:1/,
    );
    const text = await figures();
    const label = `registry="${registry.host}"`;
    expect(sample(text, `a3s_box_image_pull_bytes_total{${label}}`)).to.be.greaterThan(100_000);
    expect(sample(text, `a3s_box_image_pull_seconds_count{${label}}`)).to.equal(1);
    expect(sample(text, `a3s_box_image_pull_failures_total{${label},reason="notFound"}`)).to.equal(1);
    expect(sample(text, "a3s_box_image_pulls_in_flight")).to.equal(0);
    expect(sample(text, 'a3s_box_cri_calls_total{rpc="PullImage",code="OK"}')).to.equal(1);
    expect(sample(text, 'a3s_box_cri_calls_total{rpc="PullImage",code="NOT_FOUND"}')).to.equal(1);
  });

  it("tells of sandboxes and containers by state, of the stages of starts, and of the process", async () => {
    const pushed = await pushImage(registry.host, "run", "1", await busyboxSource());
    await daemon.cri.call(image.pullImage, { image: spec(pushed.reference) });
    const pod = await runPod(daemon);
    await createContainer(daemon, pod, { image: { image: pushed.reference } });
    let text = await figures();
    expect(sample(text, 'a3s_box_sandboxes{state="ready"}')).to.equal(1);
    expect(sample(text, 'a3s_box_containers{state="created"}')).to.equal(1);
    expect(sample(text, 'a3s_box_sandbox_start_stage_seconds_count{stage="boot box"}')).to.equal(1);
    expect(sample(text, "process_resident_memory_bytes")).to.be.greaterThan(1 << 20);
    expect(text).to.match(/^a3s_box_build_info\{version="[^"]+",driver="(?:krun|qemu)"\} 1$/m);
    expect(sample(text, "a3s_box_memory_bytes")).to.be.greaterThan(32 << 20);
    expect(sample(text, "a3s_box_boxes_lost_total")).to.equal(0);
    await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: pod.id });
    text = await figures();
    expect(sample(text, "a3s_box_memory_bytes")).to.equal(0);
    expect(sample(text, 'a3s_box_sandboxes{state="ready"}')).to.equal(0);
    expect(sample(text, 'a3s_box_sandboxes{state="notReady"}')).to.equal(1);
    await removePod(daemon, pod);
    text = await figures();
    expect(sample(text, 'a3s_box_sandboxes{state="notReady"}')).to.equal(0);
    expect(sample(text, 'a3s_box_containers{state="exited"}')).to.equal(0);
  });

  it("tells of Boxes that were lost, and of those that a restart found again", async () => {
    const pushed = await pushImage(registry.host, "run", "1", await busyboxSource());
    await daemon.cri.call(image.pullImage, { image: spec(pushed.reference) });
    const [kept, lost] = await Promise.all([runPod(daemon), runPod(daemon)]);
    process.kill(await vmmPid(daemon, lost), "SIGKILL");
    await eventually("the Box is counted as lost", 10_000, async () =>
      sample(await figures(), "a3s_box_boxes_lost_total") === 1 ? true : undefined,
    );
    await daemon.stop("SIGKILL");
    await daemon.launch();
    url = await eventually("the endpoint's next address", 10_000, async () => {
      const all = [...(await daemon.logTail(1 << 20)).matchAll(/"url":"([^"]+)","msg":"metrics"/g)];
      return all.length === 2 ? all[1]?.[1] : undefined;
    });
    const text = await eventually("all is taken up", 20_000, async () => {
      const now = await figures();
      return (sample(now, "a3s_box_recovery_seconds") ?? 0) > 0 ? now : undefined;
    });
    expect(sample(text, 'a3s_box_recovered_sandboxes_total{outcome="adopted"}')).to.equal(1);
    expect(sample(text, 'a3s_box_recovered_sandboxes_total{outcome="notReady"}')).to.equal(1);
    expect(sample(text, 'a3s_box_recovered_sandboxes_total{outcome="failed"}')).to.equal(0);
    await Promise.all([removePod(daemon, kept), removePod(daemon, lost)]);
  });
});
