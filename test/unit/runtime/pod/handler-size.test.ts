import { expect } from "chai";
import { configOf, parseFile } from "../../../../src/config/load.js";
import type { PodSandboxConfig } from "../../../../src/gen/runtime/v1/api.js";
import { podSpecOf } from "../../../../src/cri/map/pod-spec.js";
import { checkPodSpec } from "../../../../src/runtime/pod/check-spec.js";
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

function sizeOf(runtimeHandler: string, config: Partial<PodSandboxConfig> = {}): BoxSize {
  return checkPodSpec(
    podSpecOf({ ...podRequest(config), runtimeHandler }),
    { handlers, hostNamespaces: "refuse", cgroup: { driver: "cgroupfs", outlivesContainer: false, memoryMib: 0 } },
    "qemu",
  ).size;
}

const limits = (mib: bigint) => ({ linux: linuxConfig({ resources: resources({ memoryLimitInBytes: mib << 20n }) }) });
const memoryOf = (mib: string) => ({ annotations: { "a3s-box/memory-mib": mib } });

describe("the size that a handler gives", () => {
  it("is the daemon's default under the handlers that are always there", () => {
    for (const name of ["", "microvm"]) expect(sizeOf(name)).to.deep.equal({ vcpus: 1, memoryMib: 512 });
  });

  it("is the handler's own default, and no more than its most", () => {
    expect(sizeOf("free").memoryMib).to.equal(1024);
    expect(sizeOf("small").memoryMib).to.equal(400);
  });

  it("is the pod's limits where it has some", () => {
    expect(sizeOf("free", limits(600n)).memoryMib).to.equal(600);
  });

  it("is refused over the handler's most", () => {
    expect(() => sizeOf("small", limits(500n)))
      .to.throw("the pod wants 500 MiB of memory; its handler gives 400")
      .with.property("code", "invalidArgument");
  });

  it("is what the annotation says, over the limits, where the handler allows it", () => {
    expect(sizeOf("free", memoryOf("2048")).memoryMib).to.equal(2048);
    expect(sizeOf("free", { ...limits(600n), ...memoryOf("2048") }).memoryMib).to.equal(2048);
    expect(() => sizeOf("free", memoryOf("5000"))).to.throw("the pod wants 5000 MiB of memory; its handler gives 4096");
  });

  it("refuses an annotation that is not allowed, or is no size", () => {
    expect(() => sizeOf("microvm", memoryOf("2048"))).to.throw(
      /a3s-box\/memory-mib is not allowed by the pod's handler/,
    );
    expect(() => sizeOf("free", { annotations: { "a3s-box/vcpus": "4" } })).to.throw(/a3s-box\/vcpus is not allowed/);
    for (const bad of ["", "0", "-1", "1.5", "2Gi", "9".repeat(20)]) {
      expect(() => sizeOf("free", memoryOf(bad))).to.throw(/is no size/);
    }
  });

  it("comes with the handler's driver", () => {
    const driverOf = (runtimeHandler: string) =>
      checkPodSpec(
        podSpecOf({ ...podRequest(), runtimeHandler }),
        { handlers, hostNamespaces: "refuse", cgroup: { driver: "cgroupfs", outlivesContainer: false, memoryMib: 0 } },
        "krun",
      ).driver;
    expect([driverOf(""), driverOf("free")]).to.deep.equal([undefined, "qemu"]);
  });

  it("does not take a handler for known that every object has a member for", () => {
    expect(() => sizeOf("constructor")).to.throw(/"constructor" is unknown \(known are "", "microvm", "small", "free"/);
  });
});
