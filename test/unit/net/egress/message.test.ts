import { expect } from "chai";
import fc from "fast-check";
import "../../../support/fuzz.js";
import { readQuestion, writeAnswer, writeRefusal } from "../../../../src/net/egress/dns/message.js";

function question(name: string, type = 1, changed: (bytes: Buffer) => void = () => undefined): Buffer {
  const header = Buffer.from("12340100000100000000 0000".replace(" ", ""), "hex");
  const labels = name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const bytes = Buffer.concat([header, ...labels, Buffer.from([0, 0, type, 0, 1])]);
  changed(bytes);
  return bytes;
}

describe("a question for a name", () => {
  it("is read with its name in small letters, and answered with its own bytes", () => {
    const asked = question("Ok.Example.ORG", 28);
    const read = readQuestion(asked);
    if (read === undefined || !("name" in read)) throw new Error("no question");
    expect(read).to.include({ id: 0x1234, name: "ok.example.org", type: 28, recursion: true });
    const answer = writeAnswer(read, { code: "ok", addresses: [Buffer.alloc(16, 7)], ttlS: 60 });
    expect(answer.subarray(12, asked.length).equals(asked.subarray(12))).to.equal(true);
    expect(answer.readUInt16BE(2)).to.equal(0x8180);
    expect(answer.subarray(asked.length).toString("hex")).to.equal(`c00c001c00010000003c0010${"07".repeat(16)}`);
  });

  it("is nothing to answer where it is an answer itself, and refused where it is another kind of message", () => {
    expect(readQuestion(question("a.b", 1, (bytes) => bytes.writeUInt16BE(0x8100, 2)))).to.equal(undefined);
    const codes = {
      unimplemented: (bytes: Buffer) => bytes.writeUInt16BE(0x2800, 2), // an update
      malformed: (bytes: Buffer) => bytes.writeUInt16BE(2, 4),
      refused: (bytes: Buffer) => bytes.writeUInt16BE(3, bytes.length - 2), // of another class
    };
    for (const [code, changed] of Object.entries(codes)) {
      expect(readQuestion(question("a.b", 1, changed)), code).to.deep.equal({ id: 0x1234, code });
    }
    expect(readQuestion(question("a b.c"))).to.deep.equal({ id: 0x1234, code: "refused" });
    expect(readQuestion(question("a.b", 1, (bytes) => (bytes[12] = 0xc0)))).to.deep.equal({
      id: 0x1234,
      code: "malformed",
    });
    expect(writeRefusal({ id: 0x1234, code: "refused" }).toString("hex")).to.equal("123481850000000000000000");
  });

  it("of any bytes is a question, a refusal or nothing", () => {
    const any = fc.oneof(
      fc.uint8Array({ maxLength: 1200 }),
      fc
        .uint8Array({ maxLength: 300 })
        .map((tail) => Buffer.concat([question("ok.example.org").subarray(0, 12), tail])),
    );
    fc.assert(
      fc.property(any, (bytes) => {
        const read = readQuestion(Buffer.from(bytes));
        if (read === undefined) return;
        if (!("name" in read)) {
          expect(writeRefusal(read).length).to.equal(12);
          return;
        }
        expect(read.name).to.match(/^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/);
        expect(read.name.length).to.be.below(255);
        expect(writeAnswer(read, { code: "noName", addresses: [], ttlS: 0 }).length).to.be.below(300);
      }),
    );
  });
});
