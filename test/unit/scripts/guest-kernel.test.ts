import { join } from "node:path";
import { expect } from "chai";
import { askedKernel, guestKernel, wantedKernel } from "../../../scripts/setup/assets/guest-kernel.js";
import { kernelFragment, lostOptions, parseKernelConfig } from "../../../scripts/setup/kernel-config.js";
import type { SetupContext } from "../../../scripts/setup/run.js";
import { messageOf } from "../../../src/base/errors.js";
import { projectDirectory } from "../../support/project.js";

const message = (work: () => unknown): string => {
  try {
    work();
    return "no error";
  } catch (thrown) {
    return messageOf(thrown);
  }
};

describe("the guest's kernel of a set-up", () => {
  const context = (said: string[], signal = new AbortController().signal): SetupContext => ({
    signal,
    root: projectDirectory,
    cache: "/nowhere",
    say: (line) => said.push(line),
  });
  const place = (path: string) => () => Promise.resolve(path);
  const gone = () => Promise.reject(new Error("the suites sid and testing are out of reach"));

  it("is the package's while a suite serves it, without a word", async () => {
    const said: string[] = [];
    const kernel = await guestKernel(context(said), undefined, { package: place("/package"), own: gone });
    expect(kernel).to.deep.equal({ name: "package", directory: "/package" });
    expect(said).to.deep.equal([]);
  });

  it("is ours where sid and testing are out of reach, and who waits is told why and for how long", async () => {
    const said: string[] = [];
    const kernel = await guestKernel(context(said), undefined, { package: gone, own: place("/own") });
    expect(kernel).to.deep.equal({ name: "own", directory: "/own" });
    expect(said.join("\n"))
      .to.match(/sid and testing are out of reach/)
      .and.to.match(/8 minutes/);
  });

  it("is the one that was asked for, and no other when that fails", async () => {
    const recipes = { package: gone, own: place("/own") };
    expect(await guestKernel(context([]), "own", recipes)).to.deep.equal({ name: "own", directory: "/own" });
    const failure = await guestKernel(context([]), "package", recipes).catch(messageOf);
    expect(failure).to.match(/out of reach/);
  });

  it("is not built when the set-up was stopped", async () => {
    const stop = new AbortController();
    const stopped = () => {
      stop.abort(new Error("stopped"));
      return Promise.reject(new Error("killed"));
    };
    const built: string[] = [];
    const own = () => Promise.resolve(String(built.push("own")));
    const failure = await guestKernel(context([], stop.signal), undefined, { package: stopped, own }).catch(messageOf);
    expect(failure).to.equal("stopped");
    expect(built).to.deep.equal([]);
  });

  it("is ours for tests and releases, unless somebody asks for the other", () => {
    expect(wantedKernel({ ours: true }, {})).to.equal("own");
    expect(wantedKernel({ ours: true }, { A3S_KERNEL: "package" })).to.equal("package");
    expect(wantedKernel({}, {})).to.equal(undefined);
    expect(wantedKernel({ kernel: "own" }, { A3S_KERNEL: "package" })).to.equal("own");
  });

  it("is chosen by A3S_KERNEL, which has two values", () => {
    expect(askedKernel({})).to.equal(undefined);
    expect(askedKernel({ A3S_KERNEL: "" })).to.equal(undefined);
    expect(askedKernel({ A3S_KERNEL: "own" })).to.equal("own");
    expect(askedKernel({ A3S_KERNEL: "package" })).to.equal("package");
    expect(message(() => askedKernel({ A3S_KERNEL: "mine" }))).to.match(/A3S_KERNEL is "mine"/);
  });
});

describe("the configuration of the guest's kernel", () => {
  it("is read as Kconfig writes it, and nothing else is", () => {
    const text = '# words\n\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=0x10\nCONFIG_D="a b"\n';
    expect([...parseKernelConfig(text, "f")]).to.deep.equal([
      ["A", "y"],
      ["B", "n"],
      ["C", "0x10"],
      ["D", '"a b"'],
    ]);
    expect(message(() => parseKernelConfig("CONFIG_A=y\nCONFIG_A=n\n", "f"))).to.match(/CONFIG_A is there twice/);
    expect(message(() => parseKernelConfig("CONFIG_A\n", "f"))).to.match(/is no line/);
    expect(message(() => parseKernelConfig("# CONFIG_A is not\n", "f"))).to.match(/is no line/);
  });

  it("names each option of which the kernel made something else", () => {
    const made = parseKernelConfig("CONFIG_A=y\nCONFIG_C=64\n", "made");
    const wanted = parseKernelConfig("CONFIG_A=y\nCONFIG_B=y\n# CONFIG_X is not set\nCONFIG_C=16\n", "wanted");
    expect(lostOptions(wanted, made)).to.deep.equal(["B: wanted y, is n", "C: wanted 16, is 64"]);
  });

  it("has no option in two groups, and closes the ways to the machine", async () => {
    const { options } = await kernelFragment(join(projectDirectory, "guest/kernel/config"));
    expect(options.size).to.be.greaterThan(400);
    for (const name of ["MODULES", "DEVMEM", "DEVPORT", "PROC_KCORE", "KEXEC", "PCI", "ACPI", "USB_SUPPORT", "DRM"]) {
      expect(options.get(name), name).to.equal("n");
    }
    expect(options.get("INIT_ON_ALLOC_DEFAULT_ON")).to.equal("y");
  });
});
