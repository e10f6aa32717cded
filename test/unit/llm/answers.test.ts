import { expect } from "chai";
import fc from "fast-check";
import { headersBack } from "../../../src/llm/answer/headers.js";
import { Scrub } from "../../../src/llm/answer/scrub.js";
import { UsageMeter } from "../../../src/llm/answer/usage.js";
import { messagesAnswer, messagesEvents } from "../../support/models/anthropic.js";
import { geminiAnswer } from "../../support/models/gemini.js";
import { chatAnswer, chatEvents } from "../../support/models/openai-chat.js";
import { responsesAnswer, responsesEvents } from "../../support/models/openai-responses.js";
import "../../support/fuzz.js";

type Kind = "anthropic" | "openai" | "gemini";
const turn = { text: 'words with "usage": {"input_tokens": 99} in them' };

function metered(kind: Kind, text: string, isStream: boolean, step: number): unknown[] {
  let events = 0;
  const meter = new UsageMeter(kind, isStream, () => (events += 1));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += step) meter.write(bytes.subarray(at, at + step));
  const { input, output, cacheRead, cacheWrite, reasoning } = meter.usage() ?? {};
  return [input, output, cacheRead, cacheWrite, reasoning, events];
}

describe("what a call to a model has used", () => {
  const cases: readonly (readonly [string, Kind, string, boolean, readonly number[]])[] = [
    ["Messages", "anthropic", JSON.stringify(messagesAnswer("m", turn)), false, [60, 8, 30, 20, 0, 0]],
    ["Messages, streamed", "anthropic", messagesEvents("m", turn).join(""), true, [60, 8, 30, 20, 0]],
    ["Chat", "openai", JSON.stringify(chatAnswer("m", turn)), false, [11, 7, 4, 0, 2, 0]],
    ["Chat, streamed", "openai", chatEvents("m", turn, true).join(""), true, [11, 7, 4, 0, 2]],
    ["Responses", "openai", JSON.stringify(responsesAnswer("m", turn)), false, [21, 9, 5, 0, 3, 0]],
    ["Responses, streamed", "openai", responsesEvents("m", turn).join(""), true, [21, 9, 5, 0, 3]],
    ["Gemini", "gemini", JSON.stringify(geminiAnswer(turn)), false, [13, 8, 4, 0, 2, 0]],
    ["Gemini, as a list", "gemini", JSON.stringify([geminiAnswer(turn)]), false, [13, 8, 4, 0, 2, 0]],
    ["Gemini, streamed", "gemini", `data: ${JSON.stringify(geminiAnswer(turn))}\r\n\r\n`, true, [13, 8, 4, 0, 2]],
  ];
  for (const [name, kind, text, isStream, wanted] of cases) {
    it(`is read from an answer of ${name}, however it is cut`, () => {
      for (const step of [1, 2, 3, 7, 64, text.length]) {
        const found = metered(kind, text, isStream, step);
        expect(found.slice(0, wanted.length), `in steps of ${String(step)}`).to.deep.equal(wanted);
        if (isStream) expect(found[5]).to.equal(text.split(/\r?\n\r?\n/).length - 1);
      }
    });
  }

  it("is unknown where an answer does not say it, or says nonsense", () => {
    expect(metered("openai", chatEvents("m", turn, false).join(""), true, 5)[0]).to.equal(undefined);
    const nonsense = '{"usage":{"prompt_tokens":-1,"completion_tokens":1e30,"input_tokens":"5"}}';
    expect(metered("openai", nonsense, false, 5)[0]).to.equal(undefined);
    expect(metered("openai", "<html>", false, 5)[0]).to.equal(undefined);
  });
});

describe("an upstream that says our key again", () => {
  const key = "sk-secret-sk-secret-1";

  it("has it covered, however it comes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(key, "sk-", "sk-secret-", "words ", "s", "1"), { maxLength: 12 }),
        fc.integer({ min: 1, max: 40 }),
        (parts, step) => {
          const text = Buffer.from(parts.join(""));
          const scrub = new Scrub(key);
          const out: Buffer[] = [];
          for (let at = 0; at < text.length; at += step) out.push(scrub.write(text.subarray(at, at + step)));
          out.push(scrub.end());
          expect(Buffer.concat(out).toString()).to.equal(text.toString().replaceAll(key, "*".repeat(key.length)));
        },
      ),
    );
  });

  it("holds nothing back that can't be the key's beginning", () => {
    const scrub = new Scrub(key);
    expect(scrub.write(Buffer.from("data: {}\n\n")).length).to.equal(10);
    expect(scrub.write(Buffer.from("data: sk-s")).length).to.equal(6);
  });
});

describe("headers of an answer", () => {
  it("go back as they came, but for those of the connection, of accounts and of other ways", () => {
    const raw = [
      "Request-Id",
      "1",
      "Set-Cookie",
      "a=b",
      "Connection",
      "close",
      "X-A",
      "1",
      "x-a",
      "2",
      "Alt-Svc",
      "h3",
    ];
    expect(headersBack(raw)).to.deep.equal(["Request-Id", "1", "X-A", "1", "x-a", "2"]);
  });
});
