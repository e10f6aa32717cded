import { expect } from "chai";
import { SecurityProfile_ProfileType } from "../../../../src/gen/runtime/v1/api.js";
import { seccompSpecOf } from "../../../../src/cri/map/seccomp.js";
import { complaint, security } from "../../runtime/spec/support.js";

const { RuntimeDefault, Unconfined, Localhost } = SecurityProfile_ProfileType;

describe("the choice of a seccomp profile", () => {
  const old = (profile: string) => ({ ["seccompProfilePath"]: profile });
  const cases: readonly [string, Parameters<typeof security>[0], unknown][] = [
    ["none when nothing is asked", {}, { kind: "none" }],
    [
      "the default for an empty profile",
      { seccomp: { profileType: RuntimeDefault, localhostRef: "" } },
      { kind: "default" },
    ],
    ["none for Unconfined", { seccomp: { profileType: Unconfined, localhostRef: "" } }, { kind: "none" }],
    [
      "a file for Localhost",
      { seccomp: { profileType: Localhost, localhostRef: "localhost//p.json" } },
      { kind: "localhost", path: "/p.json" },
    ],
    [
      "none for a privileged container",
      { privileged: true, seccomp: { profileType: RuntimeDefault, localhostRef: "" } },
      { kind: "none" },
    ],
    ["the old field's default", old("runtime/default"), { kind: "default" }],
    ["the old field's file", old("localhost//p"), { kind: "localhost", path: "/p" }],
  ];
  for (const [name, context, expected] of cases) {
    it(`is ${name}`, () => {
      expect(seccompSpecOf(security(context))).to.deep.equal(expected);
    });
  }

  it("is refused when it contradicts itself or is relative", () => {
    const of = (profileType: SecurityProfile_ProfileType, localhostRef: string) => () =>
      seccompSpecOf(security({ seccomp: { profileType, localhostRef } }));
    expect(complaint(of(RuntimeDefault, "/p"))).to.include("not Localhost");
    expect(complaint(of(Localhost, "p.json"))).to.include("not an absolute path");
    expect(complaint(of(Localhost, ""))).to.include("not an absolute path");
  });
});
