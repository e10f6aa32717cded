import { expect } from "chai";
import { configOf, parseFile } from "../../../../src/config/load.js";
import type { PodSandboxConfig } from "../../../../src/gen/runtime/v1/api.js";
import { podSpecOf } from "../../../../src/cri/map/pod-spec.js";
import { checkPodSpec } from "../../../../src/runtime/pod/check-spec.js";
import { handlerSize } from "../../../../src/runtime/pod/handler-size.js";
import type { BoxSize } from "../../../../src/runtime/pod/box-size.js";
import { linuxConfig, podRequest, resources } from "./fakes.js";

const { handlers } = configOf(
  parseFile(
    `[sandbox]
vcpus = 1
memory_mib = 512
[handlers.small]
max_vcpus = 1
max_memory_mib = 400
[handlers.free]
driver = "qemu"
memory_mib = 1024
max_memory_mib = 4096
annotations = ["memory_mib"]
`,
    "a.toml",
  ),
);

const config = {
  handlers,
  hostNamespaces: "refuse" as const,
  cgroup: { driver: "cgroupfs" as const, outlivesContainer: false, memoryMib: 0 },
};
const boxes = { driver: "qemu", idMapping: () => ({ by: "server" as const }) } as const;

async function sizeOf(runtimeHandler: string, of: Partial<PodSandboxConfig> = {}): Promise<BoxSize> {
  const checked = checkPodSpec(podSpecOf({ ...podRequest(of), runtimeHandler }), config, boxes);
  return await handlerSize(checked, config, boxes.driver);
}

/** What it is refused with. */
async function refusal(...args: Parameters<typeof sizeOf>): Promise<unknown> {
  return await sizeOf(...args).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
}

const limits = (mib: bigint) => ({ linux: linuxConfig({ resources: resources({ memoryLimitInBytes: mib << 20n }) }) });
const memoryOf = (mib: string) => ({ annotations: { "a3s-box/memory-mib": mib } });

describe("the size that a handler gives", () => {
  it("is the daemon's default under the handlers that are always there", async () => {
    for (const name of ["", "microvm"]) expect(await sizeOf(name)).to.deep.equal({ vcpus: 1, memoryMib: 512 });
  });

  it("is the handler's own default, and no more than its most", async () => {
    expect((await sizeOf("free")).memoryMib).to.equal(1024);
    expect((await sizeOf("small")).memoryMib).to.equal(400);
  });

  it("is the pod's limits where it has some", async () => {
    expect((await sizeOf("free", limits(600n))).memoryMib).to.equal(600);
  });

  it("is refused over the handler's most", async () => {
    expect(await refusal("small", limits(500n)))
      .to.match(/the pod wants 500 MiB of memory; its handler gives 400/)
      .with.property("code", "invalidArgument");
  });

  it("is what the annotation says, over the limits, where the handler allows it", async () => {
    expect((await sizeOf("free", memoryOf("2048"))).memoryMib).to.equal(2048);
    expect((await sizeOf("free", { ...limits(600n), ...memoryOf("2048") })).memoryMib).to.equal(2048);
    expect(await refusal("free", memoryOf("5000"))).to.match(
      /the pod wants 5000 MiB of memory; its handler gives 4096/,
    );
  });

  it("refuses an annotation that is not allowed, or is no size", async () => {
    expect(await refusal("microvm", memoryOf("2048"))).to.match(
      /a3s-box\/memory-mib is not allowed by the pod's handler/,
    );
    expect(await refusal("free", { annotations: { "a3s-box/vcpus": "4" } })).to.match(/a3s-box\/vcpus is not allowed/);
    for (const bad of ["", "0", "-1", "1.5", "2Gi", "9".repeat(20)]) {
      expect(await refusal("free", memoryOf(bad))).to.match(/is no size/);
    }
  });

  it("comes with the handler's driver", () => {
    const driverOf = (runtimeHandler: string) =>
      checkPodSpec(podSpecOf({ ...podRequest(), runtimeHandler }), config, boxes).driver;
    expect([driverOf(""), driverOf("free")]).to.deep.equal([undefined, "qemu"]);
  });

  it("does not take a handler for known that every object has a member for", async () => {
    expect(await refusal("constructor")).to.match(
      /"constructor" is unknown \(known are "", "microvm", "small", "free"/,
    );
  });
});
