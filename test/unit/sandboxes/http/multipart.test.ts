import { expect } from "chai";
import { codeOf, RuntimeError } from "../../../../src/base/errors.js";
import { boundaryOf, partsOf } from "../../../../src/sandboxes/http/multipart.js";
import { fuzz } from "../../../support/fuzzing/run.js";
import { collect, cut, refusal } from "../e2b/support.js";

async function read(bytes: Buffer, size: number, mostParts = 10): Promise<(string | undefined)[][]> {
  const found: (string | undefined)[][] = [];
  for await (const { name, fileName, data } of partsOf(cut(bytes, size), "B", mostParts)) {
    found.push([name, fileName, Buffer.concat(await collect(data)).toString("latin1")]);
  }
  return found;
}

const form = (...parts: readonly string[]): Buffer =>
  Buffer.from([...parts.map((part) => `--B\r\n${part}`), "--B--\r\n"].join("\r\n"), "latin1");
const file = (name: string, content: string): string =>
  `Content-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: x/y\r\n\r\n${content}`;

describe("a form with files", () => {
  it("is read as it comes, in pieces of any size, with what looks like its boundary", async () => {
    const contents = ["", "a", "\r\n--", "\r\n--C\r\n--", "--B", "\r\n\r\n\r\n-", "x".repeat(3000)];
    const bytes = form(...contents.map((content, at) => file(`f${at}`, content)));
    for (const size of [1, 2, 3, 7, 64, 100_000]) {
      const expected = contents.map((content, at) => ["file", `f${at}`, content]);
      expect(await read(bytes, size), `in pieces of ${size}`).to.deep.equal(expected);
    }
  });

  it("has names as undici and httpx write them", async () => {
    const bytes = form(file("d/a %22b%22 %25%0A", "1"), 'content-disposition: form-data; name="other"\r\n\r\n2');
    expect(await read(bytes, 50)).to.deep.equal([
      ["file", 'd/a "b" %25\n', "1"],
      ["other", undefined, "2"],
    ]);
  });

  it("of which a part is not read goes on with the next", async () => {
    const names: (string | undefined)[] = [];
    for await (const { fileName } of partsOf(cut(form(file("a", "1\r\n2"), file("b", "3")), 4), "B", 10)) {
      names.push(fileName);
    }
    expect(names).to.deep.equal(["a", "b"]);
  });

  it("is refused when cut off, endless before its first part, with a long head, or with too many parts", async () => {
    const whole = form(file("a", "content"));
    const tries = [
      whole.subarray(0, -8),
      whole.subarray(0, 20),
      Buffer.alloc(100_000, "x"),
      form(`X: ${"y".repeat(20_000)}\r\n\r\n`),
      form(...Array.from({ length: 11 }, () => file("a", ""))),
      Buffer.from("--Bx\r\n\r\n\r\n--B--"),
    ];
    for (const [at, bytes] of tries.entries()) {
      expect(codeOf(await refusal(read(bytes, 500))), String(at)).to.equal("invalidArgument");
    }
  });

  it("says its boundary, or is none", () => {
    expect(boundaryOf("multipart/form-data; boundary=----x1")).to.equal("----x1");
    expect(boundaryOf('Multipart/Form-Data; charset=x; Boundary="a b";')).to.equal("a b");
    expect(boundaryOf("application/octet-stream")).to.equal(undefined);
    expect(() => boundaryOf("multipart/form-data; x=y")).to.throw(RuntimeError);
    expect(() => boundaryOf(`multipart/form-data; boundary=${"x".repeat(71)}`)).to.throw(RuntimeError);
  });

  it("damaged, is read or refused, and gives no more bytes than came", async () => {
    await fuzz({
      name: "multipart",
      seeds: [form(file("a/b", "content"), file("c", "\r\n--")), form(file("x", "1".repeat(500)))],
      words: ["\r\n--B", "--B--", "\r\n\r\n", 'filename="../../x"', "%22", "Content-Disposition: "],
      async tried(input, random) {
        try {
          const parts = await read(input, 1 + Math.floor(random() * 900));
          const sum = parts.reduce((all, [, , content = ""]) => all + content.length, 0);
          if (sum > input.length) throw new Error("more than came");
          return true;
        } catch (thrown) {
          if (thrown instanceof RuntimeError) return false;
          throw thrown;
        }
      },
    });
  });
});
