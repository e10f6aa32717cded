import { expect } from "chai";
import * as fc from "fast-check";
import { RuntimeError } from "../../../../src/base/errors.js";
import { frontMatterOf } from "../../../../src/agents/skills/front-matter.js";
import { readSkillFile } from "../../../../src/agents/skills/skill-file.js";

const skill = (front: string, body = "\n# Body\n"): Buffer => Buffer.from(`---\n${front}\n---\n${body}`);

function problemOf(bytes: Buffer, directory?: string): string {
  try {
    readSkillFile(bytes, directory);
    return "taken";
  } catch (thrown) {
    if (thrown instanceof RuntimeError && thrown.code === "invalidArgument") return thrown.message;
    throw thrown;
  }
}

describe("a SKILL.md", () => {
  it("says its name and its description in any of YAML's ways to write a text", () => {
    const cases = [
      ["Fills in forms. # of PDF", "Fills in forms."],
      ['"Fills in \\"forms\\"\\u002e # no comment"', 'Fills in "forms". # no comment'],
      ["'It''s for forms' # a comment", "It's for forms"],
      ["Fills in\n  forms\n\n  of PDF", "Fills in forms of PDF"],
      [">\n  Fills in\n  forms\n\n  of PDF", "Fills in forms\n\nof PDF"],
      ["|-\n  Fills in\n    forms", "Fills in\n  forms"],
      ["\n  Fills in forms", "Fills in forms"],
      ["https://forms.example: all of them", "https://forms.example: all of them"],
    ] as const;
    for (const [text, description] of cases) {
      const rest = "license: MIT\nmetadata:\n  author: me\n  version: '1.0'\nallowed-tools:\n- Read\n- Bash(git:*)";
      const read = readSkillFile(skill(`# for forms\nname: pdf-forms\ndescription: ${text}\n${rest}`), "pdf-forms");
      expect(read).to.deep.equal({ name: "pdf-forms", description });
    }
    expect(readSkillFile(Buffer.from("\uFEFF---\r\nname: a\r\ndescription: b\r\n---"))).to.include({ name: "a" });
  });

  it("is read in no time, however it is made", () => {
    const cases = [
      `name:\n${"\n".repeat(16_000)}`,
      `name:${" ".repeat(16_000)}\u2028x`,
      `description: a\n  ${"# ".repeat(8000)}\u2028x`,
      `description:\n  '${"''".repeat(8000)}'\u2028x`,
    ];
    const began = performance.now();
    for (let times = 0; times < 4; times += 1) {
      for (const front of cases) expect(problemOf(skill(front)), front.slice(0, 20)).to.not.equal("taken");
    }
    expect(performance.now() - began).to.be.lessThan(1000);
  });

  it("that breaks a rule is refused with the rule", () => {
    const cases: [Buffer, RegExp, string?][] = [
      [Buffer.from("# A skill"), /does not begin with a line "---"/],
      [Buffer.from("---\nname: a\n"), /no second line "---"/],
      [Buffer.from([0x2d, 0x2d, 0x2d, 0x0a, 0xff, 0xfe]), /is not UTF-8/],
      [skill("description: b"), /has no name/],
      [skill("name: a"), /has no description/],
      [skill("name: a\ndescription:"), /description is no text/],
      [skill("name: a\ndescription: [b]"), /description is no text/],
      [skill("name: a\ndescription:\n  b: c"), /description is no text/],
      [skill("name: a\ndescription: &x b"), /description is no text/],
      [skill("name: a\nname: b\ndescription: c"), /name is there twice/],
      [skill("name: a\njust words"), /line 3 is no "key: value"/],
      [skill('name: a\ndescription: "b'), /description has a quote without its end/],
      [skill("name: a\ndescription: 'b' c"), /goes on behind its quotes/],
      [skill("name: a\ndescription: b"), /name "a" is not that of its directory, "b"/, "b"],
      [skill(`name: a\ndescription: ${"b".repeat(1025)}`), /description has 1025 of 1024 characters/],
      [skill(`name: a\ndescription: b\ncompatibility: ${"c".repeat(501)}`), /compatibility has more than 500/],
      ...["A", "a--b", "-a", "a-", "a_b", "../a", "a/b", "a".repeat(65), "ä"].map((name): [Buffer, RegExp] => [
        skill(`name: "${name}"\ndescription: b`),
        /is not up to 64 of a-z/,
      ]),
    ];
    for (const [bytes, wanted, directory] of cases)
      expect(problemOf(bytes, directory), bytes.toString()).to.match(wanted);
  });

  it("of any bytes is taken or refused with words, in no time", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (text) => {
        problemOf(skill(text));
        problemOf(Buffer.from(text));
      }),
    );
    const long = [
      `description: ${'"'.repeat(15_000)}`,
      `name:${" ".repeat(15_000)}x`,
      "a:\n".repeat(5_000),
      "- ".repeat(8_000),
    ];
    const begin = performance.now();
    for (const text of long) problemOf(skill(text));
    expect(performance.now() - begin).to.be.lessThan(1000);
  });

  it("has keys that are nobody's kept apart from values", () => {
    const found = frontMatterOf("---\na: 1\nb:\n  c: 2\nd:\n- e\nf: g\n---\n");
    expect([...found]).to.deep.equal([
      ["a", "1"],
      ["b", undefined],
      ["d", undefined],
      ["f", "g"],
    ]);
  });
});
