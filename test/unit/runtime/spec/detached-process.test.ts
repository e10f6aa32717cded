import { expect } from "chai";
import type { DetachedExecSpec } from "../../../../src/runtime/exec/exec-spec.js";
import { detachedProcess, type ExecGround } from "../../../../src/runtime/spec/detached-process.js";

const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
const ground: ExecGround = {
  init: {
    ...{ terminal: false, args: ["init"], cwd: "/work", capabilities: none, rlimits: [], noNewPrivileges: true },
    user: { uid: 1000, gid: 1000, additionalGids: [1000] },
    env: ["PATH=/bin", "HOME=/home/app", "MODE=own"],
    oomScoreAdj: 7,
  },
  given: new Set(["MODE"]),
  supplementalGroups: [3000],
  database: {
    passwd: "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:\nother:x:1001:50::/home/other:",
    group: "staff:x:50:\nextra:x:60:other",
  },
};

function made(over: Partial<DetachedExecSpec> = {}, on: Partial<ExecGround> = {}) {
  const spec = { args: ["x"], terminal: false, stdin: false, env: {}, workingDir: "", user: "", ...over };
  return detachedProcess({ ...ground, ...on }, spec);
}

function env(over: Partial<DetachedExecSpec>, on?: Partial<ExecGround>): Record<string, string> {
  return Object.fromEntries(
    made(over, on).env.map((one): [string, string] => [one.split("=")[0] ?? "", one.slice(one.indexOf("=") + 1)]),
  );
}

describe("an exec that outlives its starter", () => {
  it("is the container's process where nothing else is asked for, with its user's names", () => {
    const { env: variables, ...rest } = made();
    const { env: ofInit, ...init } = ground.init;
    expect(rest).to.deep.equal({ ...init, args: ["x"] });
    expect(variables).to.deep.equal([...ofInit, "USER=app", "LOGNAME=app"]);
  });

  it("is another user with that one's groups, home and names", () => {
    expect(made({ user: "other" }).user).to.deep.equal({ uid: 1001, gid: 50, additionalGids: [50, 3000, 60] });
    expect(env({ user: "other" })).to.include({ HOME: "/home/other", USER: "other", LOGNAME: "other", MODE: "own" });
    expect(made({ user: "other:60" }).user.gid).to.equal(60);
    expect(made({ user: "0:extra" }).user).to.deep.equal({ uid: 0, gid: 60, additionalGids: [60, 3000] });
    expect(env({ user: "4242" }))
      .to.include({ HOME: "/" })
      .and.not.have.any.keys("USER", "LOGNAME");
  });

  it("leaves alone what the sandbox's own environment says of a user, and puts the asked one over all", () => {
    const given = new Set(["HOME", "USER"]);
    const init = { ...ground.init, env: ["HOME=/data", "USER=me"] };
    expect(env({ user: "other" }, { given, init })).to.deep.equal({ HOME: "/data", USER: "me", LOGNAME: "other" });
    expect(env({ user: "other", env: { HOME: "/h", MODE: "x" } })).to.include({ HOME: "/h", MODE: "x" });
  });

  it("is in its directory, from the container's on", () => {
    const directories = { "": "/work", sub: "/work/sub", "/abs": "/abs", "../up": "/up", "../../..": "/" };
    for (const [workingDir, cwd] of Object.entries(directories)) expect(made({ workingDir }).cwd).to.equal(cwd);
  });

  it("has its terminal's size, and a TERM where nobody has set one", () => {
    const size = { columns: 80, rows: 24 };
    expect(made({ terminal: true, size })).to.deep.include({ terminal: true, consoleSize: { height: 24, width: 80 } });
    expect(env({ terminal: true })).to.include({ TERM: "xterm" });
    expect(env({ terminal: true, env: { TERM: "dumb" } })).to.include({ TERM: "dumb" });
    expect(env({})).not.to.have.property("TERM");
  });

  it("is refused where it can't be", () => {
    const refused: Partial<DetachedExecSpec>[] = [
      { args: [] },
      { args: [""] },
      { args: ["a\0b"] },
      { workingDir: "/a\0" },
      { user: "nobody" },
      { user: "app:nobody" },
      { user: "a\0" },
      { env: { "": "x" } },
      { env: { "A=B": "x" } },
      { env: { A: "\0" } },
    ];
    for (const over of refused) {
      expect(() => made(over), JSON.stringify(over))
        .to.throw()
        .with.property("code", "invalidArgument");
    }
  });
});
