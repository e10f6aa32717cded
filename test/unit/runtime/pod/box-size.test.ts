import { availableParallelism, totalmem } from "node:os";
import { expect } from "chai";
import { podSpecOf } from "../../../../src/cri/map/pod-spec.js";
import { boxSize as sizeOf, withHugePages, type BoxSize } from "../../../../src/runtime/pod/box-size.js";
import type { LinuxPodSandboxConfig } from "../../../../src/gen/runtime/v1/api.js";
import type { DriverName } from "../../../../src/vmm/box.js";
import { linuxConfig, podRequest, resources } from "./fakes.js";

const boxSize = (linux: LinuxPodSandboxConfig | undefined, least: BoxSize, driver: DriverName): BoxSize =>
  sizeOf(podSpecOf(podRequest({ linux })), least, driver);
const standard = { vcpus: 1, memoryMib: 300 };
const mib = 1_048_576n;
const hostMib = Math.floor(totalmem() / 1_048_576);

describe("the size of a Box", () => {
  it("is the configured one where the pod sets no limit", () => {
    expect(boxSize(undefined, standard, "qemu")).to.deep.equal(standard);
    const unlimited = linuxConfig({ resources: resources({ cpuQuota: -1n }), overhead: resources({ cpuQuota: 1n }) });
    expect(boxSize(unlimited, standard, "qemu")).to.deep.equal(standard);
  });

  it("is the pod's limits and the guest's part of the overhead, rounded up", () => {
    const limits = resources({ memoryLimitInBytes: 400n * mib + 1n, cpuQuota: 50_000n, cpuPeriod: 100_000n });
    const overhead = resources({ memoryLimitInBytes: 300n * mib, cpuQuota: 75_000n });
    // 224 MiB of the overhead are the VMM's, and all of its CPU
    expect(boxSize(linuxConfig({ resources: limits, overhead }), standard, "qemu")).to.deep.equal({
      vcpus: 1,
      memoryMib: 477,
    });
  });

  it("leaves little of the overhead to a VMM that translates nothing, and its page tables", () => {
    const limits = resources({ memoryLimitInBytes: 1904n * mib });
    const overhead = resources({ memoryLimitInBytes: 144n * mib });
    const size = boxSize(linuxConfig({ resources: limits, overhead }), standard, "krun");
    expect(size.memoryMib).to.equal(1904 + 144 - 16 - 2048 / 512);
  });

  it("is not less than the limits where the overhead is too little for a VMM", () => {
    const limits = resources({ memoryLimitInBytes: 400n * mib });
    const overhead = resources({ memoryLimitInBytes: 100n * mib });
    expect(boxSize(linuxConfig({ resources: limits, overhead }), standard, "qemu").memoryMib).to.equal(400);
  });

  it("is enough for a guest, however little the pod asks for", () => {
    const limits = resources({ memoryLimitInBytes: 1n });
    expect(boxSize(linuxConfig({ resources: limits }), standard, "qemu").memoryMib).to.equal(256);
  });

  it("is not more than the host has", () => {
    const limits = resources({ memoryLimitInBytes: 2n ** 62n, cpuQuota: 2n ** 62n });
    const size = boxSize(linuxConfig({ resources: limits }), standard, "qemu");
    expect(size).to.deep.equal({ vcpus: availableParallelism(), memoryMib: hostMib });
  });

  it("has room for the pod's huge pages, as far as the pod's control group may have it", () => {
    const mib = (count: number) => BigInt(count) << 20n;
    const base = { vcpus: 1, memoryMib: 512 };
    const sized = (memoryBytes: bigint | undefined, pages: number, most?: number) =>
      withHugePages(base, { memoryBytes, hugePageBytes: mib(pages) }, "qemu", most).memoryMib;
    expect(withHugePages(base, { memoryBytes: undefined, hugePageBytes: 0n }, "qemu")).to.deep.equal(base);
    expect(sized(undefined, 64)).to.equal(576);
    expect(sized(undefined, 64, 550)).to.equal(550);
    expect(sized(undefined, 64, 100)).to.equal(512);
    expect(sized(mib(512 + 224), 64)).to.equal(512);
    expect(sized(mib(512 + 224 + 40), 64)).to.equal(552);
    expect(sized(mib(100), 64)).to.equal(512);
    expect(sized(undefined, 1 << 30)).to.be.at.most(Math.floor(totalmem() / (1 << 20)));
  });
});
