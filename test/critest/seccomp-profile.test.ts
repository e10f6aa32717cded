/** RuntimeDefault beside what containerd makes of it: the profile itself, which needs no Box. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { allCapabilities, defaultCapabilities } from "../../src/runtime/spec/capabilities.js";
import { defaultSeccompProfile, type SeccompProfile } from "../../src/runtime/spec/seccomp-default.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";

const program = join(projectDirectory, "build/assets/bin/seccomp-reference");

/** What happens to each call: its rules without regard to their order; one that is there twice counts once. */
function effect({ syscalls }: SeccompProfile): Record<string, string[]> {
  const rules = new Map<string, Set<string>>();
  for (const { names, action, errnoRet, args } of syscalls) {
    const conditions = (args ?? []).map(({ index, value, valueTwo = 0, op }) => ({ index, value, valueTwo, op }));
    for (const name of names) {
      const rule = JSON.stringify({ action, errnoRet, conditions });
      rules.set(name, (rules.get(name) ?? new Set()).add(rule));
    }
  }
  return Object.fromEntries([...rules].map(([name, those]) => [name, [...those].sort()]));
}

const usual = [...defaultCapabilities];

describe("The default seccomp profile is containerd's in effect", () => {
  before(function () {
    if (!existsSync(program)) {
      skipBecause(this, "no seccomp-reference: the set-up has found no Go that could build it");
    }
  });

  const cases = [
    ["the usual capabilities", usual],
    ...allCapabilities.map((one) => [`${one} added`, [...usual, one]] as const),
    ["no capability", []],
    ["every capability", allCapabilities],
  ] as const;
  for (const [name, capabilities] of cases) {
    it(`with ${name}`, () => {
      const printed = execFileSync(program, capabilities, { encoding: "utf8", timeout: 30_000 });
      const theirs = JSON.parse(printed) as SeccompProfile;
      const ours = defaultSeccompProfile(capabilities);
      expect(effect(ours)).to.deep.equal(effect(theirs));
      expect([ours.defaultAction, ours.architectures]).to.deep.equal([theirs.defaultAction, theirs.architectures]);
    });
  }
});
