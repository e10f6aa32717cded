/** The small tables: how ends, modes, users and bytes are said. */
import { expect } from "chai";
import { bytes, uint32 } from "../../../../src/sandboxes/e2b/connect/json.js";
import { userOf } from "../../../../src/sandboxes/e2b/connect/user.js";
import { permissionsOf } from "../../../../src/sandboxes/e2b/filesystem/entry.js";
import { endOf } from "../../../../src/sandboxes/e2b/process/exit-status.js";
import { headersInto } from "../../../../src/sandboxes/e2b/proxy/headers.js";

const ended = { atMs: 0, timedOut: false };
const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;

describe("E2B's words", () => {
  it("for the end of a program are Go's", () => {
    expect(endOf({ ...ended, code: 0, signal: 0 })).to.deep.equal({
      exitCode: 0,
      exited: true,
      status: "exit status 0",
    });
    const three = { exitCode: 3, exited: true, status: "exit status 3", error: "exit status 3" };
    expect(endOf({ ...ended, code: 3, signal: 0 })).to.deep.equal(three);
    const killed = { exitCode: -1, exited: false, status: "signal: killed", error: "signal: killed" };
    expect(endOf({ ...ended, code: 137, signal: 9 })).to.deep.equal(killed);
    expect(endOf({ ...ended, code: 170, signal: 42 }).status).to.equal("signal: signal 42");
    expect(endOf({ ...ended, code: 137, signal: 9, lost: "its Box has ended" }).error).to.equal("its Box has ended");
  });

  it("for modes are Go's", () => {
    const said = [
      ["file", 0o644, "-rw-r--r--"],
      ["directory", 0o1777, "dtrwxrwxrwx"],
      ["link", 0o777, "Lrwxrwxrwx"],
      ["file", 0o4755, "urwxr-xr-x"],
      ["file", 0, "----------"],
    ] as const;
    for (const [kind, mode, text] of said) expect(permissionsOf({ kind, mode })).to.equal(text);
  });

  it("for a user are Basic's, with a group where one is said", () => {
    expect(userOf(basic("root:"))).to.equal("root");
    expect(userOf(basic("1000:1000:"))).to.equal("1000:1000");
    expect(userOf(undefined)).to.equal("");
    expect(userOf("Bearer x")).to.equal("");
    expect(() => userOf(basic(`${"x".repeat(300)}:`))).to.throw("no such user");
    expect(() => userOf(basic("a\0b:"))).to.throw("no such user");
  });

  it("for bytes are base64 of either alphabet, and numbers may stand in strings", () => {
    expect(bytes.parse("aGk=").toString()).to.equal("hi");
    expect(bytes.parse("-_8").toString("hex")).to.equal("fbff");
    for (const text of ["a", "a===", "é", "aGk=aGk="]) expect(bytes.safeParse(text).success, text).to.equal(false);
    expect(uint32.parse("42")).to.equal(42);
    for (const one of [-1, 1.5, 2 ** 32, "0x1", "-1", {}]) expect(uint32.safeParse(one).success).to.equal(false);
  });

  it("of the way to a sandbox and its keys never come into it", () => {
    const sent = {
      "x-api-key": "k",
      "x-access-token": "t",
      authorization: "Bearer b",
      cookie: "c",
      connection: "x-own",
      "x-own": "1",
    };
    expect(headersInto(sent, true)).to.deep.equal({ cookie: "c" });
    expect(headersInto(sent, false)).to.deep.equal({ cookie: "c", authorization: "Bearer b" });
  });
});
