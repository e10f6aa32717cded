import { stat } from "node:fs/promises";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { expect } from "chai";
import { CgroupDriver } from "../../src/gen/runtime/v1/api.js";
import { failure, image, isServiceError, runtime, status } from "../support/cri-client.js";
import { driver, type Daemon } from "../support/daemon.js";
import { sharedDaemon } from "../support/shared-daemon.js";

describe("Runtime information", () => {
  let daemon: Daemon;
  before(async () => {
    daemon = await sharedDaemon();
  });

  it("answers Version with all four fields, and the kubelet API version 0.1.0", async () => {
    const version = await daemon.cri.call(runtime.version, { version: "0.1.0" });
    expect(version.version).to.equal("0.1.0");
    expect(version.runtimeName).to.match(/\S/);
    expect(version.runtimeVersion).to.match(/^\d+\.\d+\.\d+/);
    expect(version.runtimeApiVersion).to.equal("v1");
  });

  it("answers Version to kubelet's start-up probe, which names no version", async () => {
    expect((await daemon.cri.call(runtime.version, {})).version).to.equal("0.1.0");
  });

  it("reports RuntimeReady, and NetworkReady with a reason when it is not", async () => {
    const { status: found, runtimeHandlers } = await daemon.cri.call(runtime.status, {});
    const conditions = new Map(found?.conditions.map((one) => [one.type, one]));
    expect(conditions.get("RuntimeReady")?.status).to.equal(true);
    const network = conditions.get("NetworkReady");
    expect(network).to.not.equal(undefined);
    if (network?.status === false) expect(network.message).to.match(/\S+ \S+/);
    const [unnamed] = runtimeHandlers.filter(({ name }) => name === "");
    expect(unnamed?.features?.recursiveReadOnlyMounts).to.equal(true); // shown true by "Volume mounts"
  });

  it("says in the verbose Status which driver is used and why", async () => {
    const { info } = await daemon.cri.call(runtime.status, { verbose: true });
    const chosen: unknown = JSON.parse(info["driver"] ?? "null");
    expect(chosen)
      .to.have.property("reason")
      .that.matches(/\S+ \S+/);
    if (driver === "auto") expect(chosen).to.have.property("name").that.is.oneOf(["krun", "qemu"]);
    else expect(chosen).to.have.property("name", driver);
  });

  it("says in the verbose Status who a Box's file server is on the host, and why", async () => {
    const { info } = await daemon.cri.call(runtime.status, { verbose: true });
    const told: unknown = JSON.parse(info["fileServers"] ?? "null");
    expect(told).to.have.property("user").that.is.oneOf(["own", "root"]);
    expect(told)
      .to.have.property("reason")
      .that.matches(/\S+ \S+/);
  });

  it("tells kubelet the cgroupfs driver", async () => {
    const { linux } = await daemon.cri.call(runtime.runtimeConfig, {});
    expect(linux?.cgroupDriver).to.equal(CgroupDriver.CGROUPFS);
  });

  it("answers ImageFsInfo to kubelet's start-up probe, with usage and a directory that is there", async () => {
    const { imageFilesystems } = await daemon.cri.call(image.imageFsInfo, {});
    const [usage] = imageFilesystems;
    expect(Number(usage?.usedBytes?.value ?? 0n)).to.be.greaterThan(0);
    expect(Number(usage?.inodesUsed?.value ?? 0n)).to.be.greaterThan(0);
    expect(Number(usage?.timestamp ?? 0n)).to.be.greaterThan(1e18);
    expect((await stat(usage?.fsId?.mountpoint ?? "")).isDirectory()).to.equal(true);
  });

  it("answers UNIMPLEMENTED with the reason to an RPC that is not built", async () => {
    await failure(daemon.cri.call(runtime.checkpointPod, {}), status.UNIMPLEMENTED);
    await failure(daemon.cri.call(runtime.restorePod, {}), status.UNIMPLEMENTED);
  });

  it("speaks of no machine where a pod may be one of the host", async () => {
    const machine = /microvm|guest|\bbox(es)?\b/i;
    const refused = await failure(daemon.cri.call(runtime.checkpointContainer, {}), status.UNIMPLEMENTED);
    expect(refused.details).to.include("cannot be checkpointed");
    expect(refused.details).not.to.match(machine);
    const { descriptors } = await daemon.cri.call(runtime.listMetricDescriptors, {});
    const told = descriptors.map(({ name, help }) => `${name}: ${help}`);
    expect(told.length).to.be.greaterThan(20);
    expect(told.filter((line) => machine.test(line))).to.deep.equal([]);
  });

  it("answers UNIMPLEMENTED to an RPC that no CRI has, instead of hanging", async () => {
    const client = new Client(`unix://${daemon.socket}`, credentials.createInsecure());
    const code = await new Promise((resolve) => {
      client.makeUnaryRequest(
        "/runtime.v1.RuntimeService/NoSuchCall",
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.alloc(0),
        new Metadata(),
        { deadline: Date.now() + 30_000 },
        (error) => {
          resolve(isServiceError(error) ? error.code : undefined);
        },
      );
    });
    client.close();
    expect(code).to.equal(status.UNIMPLEMENTED);
  });

  it("listens on a socket that root and its group alone may use", async () => {
    expect((await stat(daemon.socket)).mode & 0o777).to.equal(0o660);
  });
});
