import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { listDirRequest, moveRequest, pathRequest } from "../../../../src/sandboxes/e2b/filesystem/messages.js";
import { sendInputRequest, startRequest, streamInputRequest } from "../../../../src/sandboxes/e2b/process/messages.js";
import { parsed } from "../../../../src/sandboxes/http/read-body.js";
import { fuzz } from "../../../support/fuzzing/run.js";

const text = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe("messages of E2B's clients", () => {
  it("have defaults where nothing is said, null stands for that, and unknown members are passed over", () => {
    const message = parsed(text({ process: { cmd: "a", args: null, later: 1 }, tag: null }), startRequest);
    expect(message).to.deep.equal({ process: { cmd: "a", args: [], envs: {}, cwd: "" }, tag: "", stdin: true });
    expect(parsed(text({ path: "a", depth: 0 }), listDirRequest)).to.deep.equal({ path: "a", depth: 1 });
    expect(parsed(text({ path: "a", depth: 4_000_000_000 }), listDirRequest).depth).to.equal(256);
    const pty = { size: { cols: 0, rows: 4_000_000_000 } };
    expect(parsed(text({ process: { cmd: "a" }, pty }), startRequest).pty?.size).to.deep.equal({
      columns: 80,
      rows: 65_535,
    });
  });

  it("are refused with names that are none, or several things at once", () => {
    for (const message of [
      { process: { cmd: "" } },
      { process: { cmd: "a", envs: { "A=B": "c" } } },
      { process: { cmd: "a", args: ["\0"] } },
      { process: { cmd: "a", envs: { A: "\0" } } },
      { process: { cmd: "a", args: Array.from({ length: 5000 }, () => "x") } },
    ]) {
      expect(() => parsed(text(message), startRequest), JSON.stringify(message).slice(0, 80)).to.throw(RuntimeError);
    }
    const both = { process: { pid: 1 }, input: { stdin: "", pty: "" } };
    expect(() => parsed(text(both), sendInputRequest)).to.throw("either stdin or pty");
  });

  it("damaged, have paths that can be or are refused", async () => {
    await fuzz({
      name: "e2b-paths",
      seeds: [text({ path: "/a/../b" }), text({ path: "~/é" }), text({ source: "a", destination: "/b", path: "x" })],
      words: ["\\u0000", "..", "/", "~", "\\ud800", "__proto__", "null", '"path":'],
      tried(input) {
        let taken = false;
        const reads = [() => parsed(input, pathRequest), () => parsed(input, moveRequest)];
        for (const read of reads) {
          try {
            const paths = Object.values(read());
            const wrong = paths.some((path) => path === "" || path.includes("\0") || path.length > 4096);
            if (wrong) throw new Error("a path that can't be is taken");
            taken = true;
          } catch (thrown) {
            if (!(thrown instanceof RuntimeError)) throw thrown;
          }
        }
        return taken;
      },
    });
  });

  it("damaged, start and feed programs as they are, or are refused", async () => {
    await fuzz({
      name: "e2b-processes",
      seeds: [
        text({
          process: { cmd: "/bin/bash", args: ["-l", "-c", "true"], envs: { A: "b" }, cwd: "/tmp" },
          stdin: false,
        }),
        text({ start: { process: { tag: "t" } } }),
        text({ data: { input: { stdin: "aGVsbG8=" } } }),
      ],
      words: ["\\u0000", "=", '"pid":1', "null", "{}", "[]", "__proto__"],
      tried(input) {
        let taken = false;
        const reads = [() => parsed(input, startRequest), () => parsed(input, streamInputRequest)];
        for (const read of reads) {
          try {
            if (JSON.stringify(read()).includes("\\u0000")) throw new Error("a NUL is taken");
            taken = true;
          } catch (thrown) {
            if (!(thrown instanceof RuntimeError)) throw thrown;
          }
        }
        return taken;
      },
    });
  });
});
