import { expect } from "chai";
import { defaultSeccompProfile } from "../../../../src/runtime/spec/seccomp-default.js";

describe("the default seccomp profile", () => {
  const allowed = (capabilities: string[], name: string) =>
    defaultSeccompProfile(capabilities).syscalls.filter(
      ({ names, action }) => action === "SCMP_ACT_ALLOW" && names.includes(name),
    );

  it("refuses what it does not name", () => {
    const { defaultAction, defaultErrnoRet } = defaultSeccompProfile([]);
    expect([defaultAction, defaultErrnoRet]).to.deep.equal(["SCMP_ACT_ERRNO", 1]);
    for (const name of [
      "mount",
      "keyctl",
      "add_key",
      "bpf",
      "kexec_load",
      "swapon",
      "reboot",
      "userfaultfd",
      "io_uring_setup",
    ]) {
      expect(allowed([], name), name).to.deep.equal([]);
    }
  });

  it("names each call of its main list once", () => {
    const [main] = defaultSeccompProfile([]).syscalls;
    expect(new Set(main?.names).size).to.equal(main?.names.length);
    expect(main?.names).to.include.members(["read", "openat", "execve", "futex", "clock_gettime"]);
  });

  it("opens calls by capability", () => {
    expect(allowed(["CAP_SYS_ADMIN"], "mount")).to.have.length(1);
    expect(allowed(["CAP_SYS_CHROOT"], "chroot")).to.have.length(1);
    expect(allowed(["CAP_SYS_TIME"], "settimeofday")).to.have.length(1);
  });

  it("lets clone make no namespaces and hides clone3, unless the container may make them", () => {
    expect(allowed([], "clone")[0]?.args).to.have.length(1);
    const clone3 = defaultSeccompProfile([]).syscalls.find(({ names }) => names.includes("clone3"));
    expect([clone3?.action, clone3?.errnoRet]).to.deep.equal(["SCMP_ACT_ERRNO", 38]);
    expect(allowed(["CAP_SYS_ADMIN"], "clone")[0]?.args).to.equal(undefined);
  });

  it("keeps containers off the channel to the host, and off the kernel's cryptography", () => {
    const families = allowed([], "socket").flatMap(({ args }) => args ?? []);
    expect(families[0]).to.deep.equal({ index: 0, value: 38, op: "SCMP_CMP_LT" });
    expect(families.slice(1).map(({ op, value }) => `${op} ${value}`)).to.deep.equal(
      [39, 41, 42, 43, 44, 45].map((value) => `SCMP_CMP_EQ ${value}`),
    );
  });

  it("lets programs have random numbers", () => {
    expect(allowed([], "getrandom")).to.have.length(1);
  });
});
