import { expect } from "chai";
import { codeOf, RuntimeError } from "../../../../src/base/errors.js";
import { endFrame, messageFrame, messagesIn } from "../../../../src/sandboxes/e2b/connect/frames.js";
import { keptAlive } from "../../../../src/sandboxes/e2b/connect/keepalive.js";
import { fuzz } from "../../../support/fuzzing/run.js";
import { collect, cut, refusal } from "./support.js";

const most = 1000;
const head = (flags: number, size: number): Buffer => {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(flags, 0);
  bytes.writeUInt32BE(size, 1);
  return bytes;
};

describe("messages of a Connect stream", () => {
  const good = Buffer.concat([messageFrame({ a: 1 }), messageFrame({}), messageFrame({ b: "é" })]);

  it("come whole, whatever pieces they arrive in", async () => {
    for (const size of [1, 2, 4, 5, 6, 7, 1000]) {
      const texts = (await collect(messagesIn(cut(good, size), most))).map(String);
      expect(texts, `in pieces of ${size}`).to.deep.equal(['{"a":1}', "{}", '{"b":"é"}']);
    }
  });

  it("are refused when longer than allowed, as soon as the length is known", async () => {
    async function* endless(): AsyncGenerator<Buffer> {
      yield head(0, most + 1);
      await new Promise(() => undefined);
    }
    expect(codeOf(await refusal(collect(messagesIn(endless(), most))))).to.equal("resourceExhausted");
  });

  it("are refused with flags that a client never sends, and at an end in the middle", async () => {
    const tries = [
      { bytes: Buffer.concat([head(1, 0)]), code: "unimplemented" },
      { bytes: Buffer.concat([head(2, 2), Buffer.from("{}")]), code: "invalidArgument" },
      { bytes: head(0, 3), code: "invalidArgument" },
      { bytes: Buffer.from([0, 0]), code: "invalidArgument" },
    ];
    for (const { bytes, code } of tries) {
      expect(codeOf(await refusal(collect(messagesIn(cut(bytes, 3), most)))), bytes.toString("hex")).to.equal(code);
    }
  });

  it("end with a frame that has the error in it", () => {
    expect(endFrame().toString("latin1")).to.equal("\x02\0\0\0\x02{}");
    const error = { code: "not_found", message: "no é" };
    expect(JSON.parse(endFrame(error).subarray(5).toString())).to.deep.equal({ error });
  });

  it("damaged, are taken or refused, and never more than allowed is held", async () => {
    await fuzz({
      name: "connect-frames",
      seeds: [good, messageFrame({ process: { pid: 3 } })],
      words: ["\0\0\0\0\x02{}", "\x01\0\0\0\0", "\0\xff\xff\xff\xff"],
      async tried(input, random) {
        try {
          for await (const message of messagesIn(cut(input, 1 + Math.floor(random() * 600)), most)) {
            if (message.length > most) throw new Error("longer than allowed");
          }
          return true;
        } catch (thrown) {
          if (thrown instanceof RuntimeError) return false;
          throw thrown;
        }
      },
    });
  });
});

describe("a stream that is kept alive", () => {
  it("has a filler after silence, and loses nothing of what comes then", async () => {
    async function* slow(): AsyncGenerator<string> {
      yield "one";
      await new Promise((resolve) => setTimeout(resolve, 25));
      yield "two";
    }
    const all = await collect(keptAlive(slow(), 5, "filler"));
    expect(all.filter((one) => one !== "filler")).to.deep.equal(["one", "two"]);
    expect(all.filter((one) => one === "filler")).to.not.deep.equal([]);
  });
});
