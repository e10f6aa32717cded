import { expect } from "chai";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RuntimeError } from "../../../src/base/errors.js";
import { chooseDriver, findProgram, qemuProgram, requireAssets } from "../../../src/vmm/choose-driver.js";
import { probeWith } from "../../../src/vmm/probe.js";

describe("the choice of a driver", () => {
  let assets = "";
  beforeEach(async () => {
    assets = await mkdtemp(join(tmpdir(), "a3s-assets-"));
    await mkdir(join(assets, "bin"));
  });
  afterEach(async () => {
    await rm(assets, { recursive: true });
  });

  const program = async (script: string): Promise<string> => {
    const path = join(assets, "bin", "probe");
    await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return path;
  };

  it("follows a setting without a self-test", async () => {
    expect(await chooseDriver("krun", assets)).to.include({ driver: "krun" });
    expect((await chooseDriver("qemu", assets)).reason).to.contain("set in the configuration");
  });

  it("takes QEMU where there is no launcher to test KVM with", async () => {
    const choice = await chooseDriver("auto", assets);
    expect(choice.driver).to.equal("qemu");
    expect(choice.reason).to.contain("emulating with QEMU");
  });

  it("believes a self-test only when it ends well", async () => {
    expect(await probeWith(await program("echo usable"))).to.deep.equal({
      usable: true,
      reason: "KVM self-test passed",
    });
    expect(await probeWith(await program("echo 'unusable: suberror (1)'; exit 1"))).to.deep.equal({
      usable: false,
      reason: "KVM self-test failed: unusable: suberror (1)",
    });
    expect(await probeWith(await program("kill -SEGV $$"))).to.include({ usable: false });
    expect(await probeWith(join(assets, "absent"))).to.include({ usable: false });
  });

  it("says what is missing and what to do", async () => {
    const paths = [join(assets, "bin"), join(assets, "kernel")];
    const failure = await requireAssets(paths).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(failure).to.be.instanceOf(RuntimeError).and.to.include({ code: "failedPrecondition" });
    expect(String(failure)).to.contain("kernel is missing").and.to.contain("run the set-up");
  });

  it("takes a program that is set only when it can be run", async () => {
    const path = await program("true");
    expect(await findProgram(qemuProgram, path)).to.equal(path);
    const failure = await findProgram(qemuProgram, join(assets, "bin")).then(
      () => "found",
      (thrown: unknown) => String(thrown),
    );
    expect(failure).to.contain("set qemu.binary");
  });
});
