import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { RuntimeError } from "../../../src/base/errors.js";
import { decodeMessage, encodeCall } from "../../../src/vmm/systemd/dbus-message.js";
import { DbusWriter } from "../../../src/vmm/systemd/dbus-writer.js";
import { callManager, ManagerRefusal } from "../../../src/vmm/systemd/manager.js";
import { sliceOf, slicePath } from "../../../src/vmm/systemd/slice-path.js";

describe("systemd's slices", () => {
  it("are where the dashes of their names say", () => {
    expect(slicePath("a.slice")).to.equal("/a.slice");
    expect(slicePath("a-b-c.slice")).to.equal("/a.slice/a-b.slice/a-b-c.slice");
  });

  it("are told by name, by whole path with and without its slash, and not at all", () => {
    const name = "kubepods-pod4_1.slice";
    for (const parent of [name, `/kubepods.slice/${name}`, `kubepods.slice/${name}`]) {
      expect(sliceOf(parent)).to.equal(name);
    }
    expect(sliceOf("")).to.equal("a3s.slice");
  });

  it("have names that systemd takes, and one place each", () => {
    for (const parent of ["/kubepods/podx", "-.slice", "a--b.slice", "-a.slice", "a-.slice", "a b.slice", ".slice"]) {
      expect(() => sliceOf(parent), parent).to.throw(RuntimeError, "is no slice");
    }
    expect(() => sliceOf(`${"a".repeat(250)}.slice`)).to.throw(RuntimeError, "is no slice");
    expect(() => sliceOf("/x.slice/kubepods-a.slice")).to.throw(
      RuntimeError,
      /it is \/kubepods\.slice\/kubepods-a\.slice/,
    );
  });
});

describe("D-Bus", () => {
  it("aligns what a message has in it as the specification says", () => {
    const writer = new DbusWriter();
    writer.string("ab");
    writer.array([1], 8, () => {
      writer.struct(() => {
        writer.string("P");
        writer.variant({ type: "t", value: 1n });
      });
    });
    const parts = [
      ...["02000000616200", "00"], // a string, then up to a multiple of 4
      ...["18000000", "00000000"], // the array's length, without what leads to its first structure
      ...["010000005000", "017400", "00000000000000"], // "P", "t", up to a multiple of 8
      "0100000000000000",
    ];
    expect(writer.take().toString("hex")).to.equal(parts.join(""));
  });

  it("is read one message after the other, in whatever parts they come", () => {
    const bytes = Buffer.concat([answer(7), answer(8, { error: "org.x.Bad", text: "no" })]);
    for (let cut = 0; cut < answer(7).length; cut++) expect(decodeMessage(bytes.subarray(0, cut))).to.equal(undefined);
    const first = decodeMessage(bytes);
    expect(first?.message).to.deep.equal({ kind: "return", replySerial: 7, errorName: "", text: "" });
    const second = decodeMessage(bytes.subarray(first?.length));
    expect(second?.message).to.deep.equal({ kind: "error", replySerial: 8, errorName: "org.x.Bad", text: "no" });
  });

  it("is not read where it is too long, or in another byte order", () => {
    const long = answer(1);
    long.writeUInt32LE(1 << 30, 4);
    expect(() => decodeMessage(long)).to.throw(/a D-Bus message of \d+ bytes/);
    const big = answer(1);
    big[0] = "B".charCodeAt(0);
    expect(() => decodeMessage(big)).to.throw("byte order");
  });
});

describe("a call to systemd", () => {
  let directory = "";
  let server: Server | undefined;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-m"));
  });
  afterEach(async () => {
    server?.close();
    server = undefined;
    await rm(directory, { recursive: true });
  });

  const call = { member: "Reload", signature: "", body: () => undefined };
  const ask = (sockets: readonly string[], signal = AbortSignal.timeout(5_000)): Promise<unknown> =>
    callManager(call, signal, sockets).then(
      () => "answered",
      (thrown: unknown) => thrown,
    );

  /** A manager that lets in, then answers each message in turn with what it is given. */
  async function manager(...answers: readonly ((socket: Socket) => void)[]): Promise<string> {
    const path = join(directory, "private");
    server = createServer((socket) => {
      const left = [...answers];
      let began = false;
      socket.on("error", () => undefined);
      socket.on("data", (chunk) => {
        const text = chunk.toString("latin1");
        if (text.startsWith("\0AUTH EXTERNAL ")) socket.write("OK 0123\r\n");
        if (text.includes("BEGIN\r\n")) began = true;
        if (began && text.includes("Reload")) left.shift()?.(socket);
      });
    });
    await new Promise<void>((resolve) => server?.listen(path, resolve));
    return path;
  }

  it("ends with its answer, whatever signals come before", async () => {
    const path = await manager((socket) => {
      socket.write(answer(99));
      setImmediate(() => socket.write(answer(1)));
    });
    expect(await ask([path])).to.equal("answered");
  });

  it("takes the next socket where one is not there", async () => {
    const path = await manager((socket) => socket.write(answer(1)));
    expect(await ask([join(directory, "none"), path])).to.equal("answered");
  });

  it("says what systemd says", async () => {
    const path = await manager((socket) => socket.write(answer(1, { error: "org.x.UnitExists", text: "it is there" })));
    const refusal = await ask([path]);
    expect(refusal)
      .to.be.instanceOf(ManagerRefusal)
      .and.to.include({ errorName: "org.x.UnitExists", message: "it is there" });
  });

  it("fails where systemd hangs up, is not there, or says nothing", async () => {
    const path = await manager((socket) => socket.destroy());
    expect(String(await ask([path]))).to.contain("systemd closed the connection");
    const absent = await ask([join(directory, "none")]);
    expect(absent).to.be.instanceOf(RuntimeError).and.to.include({ code: "unavailable" });
    server?.close();
    await rm(path, { force: true });
    const silent = await manager(() => undefined);
    expect(String(await ask([silent], AbortSignal.timeout(100)))).to.match(/abort|timeout/i);
  });
});

/** What a manager answers a message with. */
function answer(serial: number, failure?: { readonly error: string; readonly text: string }): Buffer {
  const body = new DbusWriter();
  if (failure !== undefined) body.string(failure.text);
  const content = body.take();
  const writer = new DbusWriter();
  for (const byte of ["l".charCodeAt(0), failure === undefined ? 2 : 3, 1, 1]) writer.byte(byte);
  writer.uint32(content.length);
  writer.uint32(1);
  const fields: (readonly [number, Parameters<DbusWriter["variant"]>[0]])[] = [[5, { type: "u", value: serial }]];
  if (failure !== undefined) fields.push([4, { type: "s", value: failure.error }], [8, { type: "g", value: "s" }]);
  writer.array(fields, 8, ([code, value]) => {
    writer.struct(() => {
      writer.byte(code);
      writer.variant(value);
    });
  });
  writer.align(8);
  return Buffer.concat([writer.take(), content]);
}

describe("a call's bytes", () => {
  it("begin with its header and name what is called", () => {
    const whole = { destination: "d.x", path: "/p", interface: "i.x", member: "M", signature: "s" };
    const bytes = encodeCall(3, {
      ...whole,
      body: (writer) => {
        writer.string("hello");
      },
    });
    expect(bytes.subarray(0, 12).toString("hex")).to.equal("6c010001" + "0a000000" + "03000000");
    const decoded = decodeMessage(bytes);
    expect(decoded?.length).to.equal(bytes.length);
    expect(decoded?.message.text).to.equal("hello");
  });
});
