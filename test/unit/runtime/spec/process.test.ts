import { expect } from "chai";
import { processArgs, processEnv, workingDirectory } from "../../../../src/runtime/spec/process.js";
import { complaint, image, specOf } from "./support.js";

const withCommand = { ...image, entrypoint: ["/entry", "-x"], cmd: ["serve"] };

describe("what a container executes", () => {
  const cases: readonly [name: string, command: string[], args: string[], expected: string[]][] = [
    ["the image's entrypoint and cmd", [], [], ["/entry", "-x", "serve"]],
    ["args in place of the image's cmd", [], ["run"], ["/entry", "-x", "run"]],
    ["command in place of both", ["/mine"], [], ["/mine"]],
    ["command and args", ["/mine"], ["a", "b"], ["/mine", "a", "b"]],
  ];
  for (const [name, command, args, expected] of cases) {
    it(`is ${name}`, () => {
      expect(processArgs(specOf({ command, args }), withCommand)).to.deep.equal(expected);
    });
  }

  it("is refused when nobody names a program, or with a NUL in it", () => {
    expect(complaint(() => processArgs(specOf({ command: [] }), image))).to.include("no command specified");
    expect(complaint(() => processArgs(specOf({ command: ["a\0b"] }), image))).to.include("NUL");
  });
});

describe("a container's environment", () => {
  const envOf = (envs: readonly (readonly [string, string])[], ofImage: string[] = []): string[] => {
    const pairs = envs.map(([key, value]) => ({ key, value: Buffer.from(value) }));
    const traits = { hostname: "box", home: "/root", terminal: false };
    return processEnv(specOf({ envs: pairs }), { ...image, env: ofImage }, traits);
  };

  it("has PATH, HOSTNAME and HOME when nobody sets them", () => {
    const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    expect(envOf([])).to.deep.equal([path, "HOSTNAME=box", "HOME=/root"]);
  });

  it("has what the pod has for its containers, where neither they nor their images say otherwise", () => {
    const ofPod = { URL: "pod", KEY: "pod", OTHER: "pod" };
    const pairs = specOf({ envs: [{ key: "KEY", value: Buffer.from("own") }] });
    const env = processEnv(
      pairs,
      { ...image, env: ["URL=image"] },
      { hostname: "box", home: "/root", terminal: false, ofPod },
    );
    expect(env).to.include.members(["URL=image", "KEY=own", "OTHER=pod"]);
  });

  it("lets the container win over the image, and the last of one name over the first, in its place", () => {
    const env = envOf(
      [
        ["A", "1"],
        ["A", "2"],
        ["PATH", "/x"],
      ],
      ["A=0", "B=b=c", "C=", "D=4", "D", "E", "HOME=/h"],
    );
    expect(env).to.deep.equal(["PATH=/x", "HOSTNAME=box", "A=2", "B=b=c", "C=", "HOME=/h"]);
  });

  it("refuses what can't be a variable", () => {
    expect(complaint(() => envOf([["A=B", "1"]]))).to.include("not a name");
    expect(complaint(() => envOf([["", "1"]]))).to.include("not a name");
    expect(complaint(() => envOf([["A", "a\0b"]]))).to.include("NUL");
    const bytes = [{ key: "BIN", value: Uint8Array.of(0xff, 0xfe) }];
    const traits = { hostname: "", home: "/", terminal: false };
    expect(complaint(() => processEnv(specOf({ envs: bytes }), image, traits))).to.include("BIN is not UTF-8");
  });
});

describe("a container's working directory", () => {
  it("is its own, else its image's, else /", () => {
    expect(workingDirectory(specOf({ workingDir: "/w" }), { ...image, workingDir: "/i" })).to.equal("/w");
    expect(workingDirectory(specOf(), { ...image, workingDir: "i/x" })).to.equal("/i/x");
    expect(workingDirectory(specOf(), image)).to.equal("/");
    expect(complaint(() => workingDirectory(specOf({ workingDir: "w" }), image))).to.include("not an absolute path");
  });
});
