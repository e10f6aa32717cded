import { expect } from "chai";
import fc from "fast-check";
import { JsonPicker, wantedOf, type Wanted } from "../../../src/llm/json-picker.js";
import "../../support/fuzz.js";

const wanted: Wanted = { anyCase: true, members: new Map([["model", { as: "model" }]]) };

interface Told {
  readonly isWhole: boolean;
  readonly found: unknown[];
}

function pick(text: string | Buffer, root: Wanted = wanted, step = Number.POSITIVE_INFINITY): Told {
  const found: unknown[] = [];
  const picker = new JsonPicker(root, (as, value, name) => found.push([as, value, name]));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += step) picker.write(bytes.subarray(at, at + step));
  return { isWhole: picker.end(), found };
}

describe("picking values out of JSON that comes in pieces", () => {
  it("finds members at the top, and not the same names further down", () => {
    const text = '{"messages":[{"model":"no"}],"a":{"model":"no"},"b":"\\"model\\":\\"no\\"","model":"yes"}';
    expect(pick(text)).to.deep.equal({ isWhole: true, found: [["model", "yes", "model"]] });
  });

  it("reads names with escapes and in other cases as any reader may", () => {
    expect(pick('{"mod\\u0065l":"a","MODEL":"b"}').found).to.deep.equal([
      ["model", "a", "model"],
      ["model", "b", "MODEL"],
    ]);
  });

  it("tells a value that is no text or number, or is too long, as one that can't be read", () => {
    for (const value of ["{}", "[1]", "null", "true", JSON.stringify("x".repeat(300))]) {
      expect(pick(`{"model":${value}}`).found, value).to.deep.equal([["model", undefined, "model"]]);
    }
  });

  it("finds numbers below names, and in lists", () => {
    const tree = wantedOf([
      ["response.usage.input_tokens", "input"],
      ["[].usage.n", "n"],
    ]);
    expect(pick('{"response":{"output":[1,{"usage":2}],"usage":{"input_tokens":12}}}', tree).found).to.deep.equal([
      ["input", 12, "input_tokens"],
    ]);
    expect(pick('[{"usage":{"n":1}},{"usage":{"n":2.5e1}}]', tree).found.length).to.equal(2);
  });

  it("is not fooled by what is no JSON in UTF-8", () => {
    const no = [
      ...["", "{", '{"model":"a"', '{"model":"a"}}', '{"model":"a"} x', "{'model':'a'}", '{"model":"a",}', "{,}"],
      ...['{"model" "a"}', '{"a":01}', '{"a":NaN}', '{"a":tru}', "[1 2]", '{"a":"\n"}', '/**/{"model":"a"}', "]"],
    ];
    for (const text of no) expect(pick(text).isWhole, text).to.equal(false);
    expect(pick(Buffer.from('{"model":"a"}', "utf16le")).isWhole).to.equal(false);
    expect(pick(Buffer.from('\ufeff{"model":"a"}')).isWhole).to.equal(false);
    expect(pick("[".repeat(5000)).isWhole).to.equal(false);
  });

  it("agrees with JSON.parse, however the text is cut", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.integer({ min: 1, max: 9 }), (text, step) => {
        expect(pick(text, wanted, step).isWhole).to.equal(true);
        const value: unknown = JSON.parse(text);
        const model = typeof value === "object" && value !== null && !Array.isArray(value) && "model" in value;
        expect(pick(`{"a":${text},"model":"x"}`, wanted, step).found).to.deep.equal([["model", "x", "model"]]);
        expect(pick(text, wanted, step).found.length > 0).to.equal(model);
      }),
    );
  });

  it("takes no text that JSON.parse refuses", () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 3 }),
        fc.nat(),
        fc.constantFrom(...Array.from('{}[]",:0 a\\-e')),
        (text, where, put) => {
          const at = where % (text.length + 1);
          const broken = text.slice(0, at) + put + text.slice(at + 1);
          let isGood = true;
          try {
            JSON.parse(broken);
          } catch {
            isGood = false;
          }
          // Escapes in texts that nobody looks at are the upstream's to judge.
          if (!isGood && !broken.includes("\\")) expect(pick(broken).isWhole, broken).to.equal(false);
        },
      ),
    );
  });
});
