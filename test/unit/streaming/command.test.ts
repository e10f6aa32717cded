import { expect } from "chai";
import { RuntimeError } from "../../../src/base/errors.js";
import type { TerminalSize } from "../../../src/streaming/requests.js";
import type { StreamingServer } from "../../../src/streaming/server.js";
import { spdyCommand } from "../../support/streaming/spdy-client.js";
import { aborted, command, testServer, textOf } from "./support.js";

describe("a command over SPDY", () => {
  let server: StreamingServer;
  before(async () => {
    server = await testServer();
  });
  after(async () => {
    await server.close();
  });

  const all = { stdin: true, stdout: true, stderr: true };
  const offer = (part: object, run: Parameters<typeof command>[1]): string => server.offer(command(part, run));

  it("gives the command stdin until the client's half-close, and the client both outputs apart", async () => {
    const url = offer(all, async ({ stdin, stdout, stderr }) => {
      const text = await textOf(stdin);
      await stdout?.write(Buffer.from(text.toUpperCase()));
      await stderr?.write(Buffer.from("bye"));
      return 0;
    });
    const streams = await spdyCommand(url, all);
    await streams.stdin.write("ab");
    await streams.stdin.write("cd");
    await streams.stdin.end();
    expect(await streams.stdout.ending()).to.equal("ABCD");
    expect(await streams.stderr.ending()).to.equal("bye");
    expect(JSON.parse(await streams.error.ending())).to.deep.equal({ status: "Success" });
    await streams.client.until(() => streams.client.goAway);
  });

  it("says the exit code in a JSON status from v4 on, and in words before", async () => {
    const run = () => Promise.resolve(42);
    const v4 = await spdyCommand(offer({}, run), { stdout: true });
    expect(JSON.parse(await v4.error.ending())).to.deep.equal({
      status: "Failure",
      reason: "NonZeroExitCode",
      message: "command terminated with non-zero exit code: 42",
      details: { causes: [{ reason: "ExitCode", message: "42" }] },
    });
    for (const protocol of ["v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"]) {
      const old = await spdyCommand(offer({}, run), { stdout: true, protocol });
      expect(await old.error.ending()).to.equal("command terminated with non-zero exit code: 42");
    }
    const good = await spdyCommand(
      offer({}, () => Promise.resolve(0)),
      { stdout: true, protocol: "v2.channel.k8s.io" },
    );
    expect(await good.error.ending()).to.equal("");
  });

  it("tells why a command could not run", async () => {
    const { error } = await spdyCommand(
      offer({}, () => Promise.reject(new RuntimeError("failedPrecondition", "no such program"))),
      { stdout: true },
    );
    expect(JSON.parse(await error.ending())).to.deep.equal({
      status: "Failure",
      reason: "InternalError",
      code: 500,
      message: "Internal error occurred: no such program",
    });
  });

  it("hears the window's sizes, however they are cut, and leaves out what is none", async () => {
    const seen: TerminalSize[] = [];
    const url = offer({ tty: true }, async ({ sizes }) => {
      for await (const size of sizes) seen.push(size);
      return 0;
    });
    const { resize, error } = await spdyCommand(url, { stdout: true, tty: true });
    await resize.write('{"Width":80,"Height":24}\n{"Wid');
    await resize.write('th":100,"Height":50}\n{"Width":-1,"Height":2}{"Width":70000,"Height":2}[]}');
    await resize.write('{"width":1,"height":2}');
    await resize.end();
    await error.ending();
    expect(seen).to.deep.equal([
      { width: 80, height: 24 },
      { width: 100, height: 50 },
      { width: 1, height: 2 },
    ]);
  });

  it("aborts the command when the client goes", async () => {
    let gone: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (gone = resolve));
    const url = offer(all, async (_, signal) => {
      await aborted(signal);
      gone();
      return 0;
    });
    const { client } = await spdyCommand(url, all);
    client.destroy();
    await ended;
  });

  it("slows the client when the command does not read, and the command when the client does not", async function () {
    this.timeout(20_000);
    let accepted = 0;
    let read: () => void = () => undefined;
    const mayRead = new Promise<void>((resolve) => (read = resolve));
    const url = offer(all, async ({ stdin, stdout }, signal) => {
      const writing = (async () => {
        for (let count = 0; count < 4096 && !signal.aborted; count += 1) {
          await stdout?.write(Buffer.alloc(32 * 1024));
          accepted += 32 * 1024;
        }
      })();
      await mayRead;
      await Promise.all([writing, textOf(stdin)]);
      return 0;
    });
    const { client, stdin, stdout, error } = await spdyCommand(url, all);
    client.keep = false;
    let goOn: () => void = () => undefined;
    client.hold = new Promise((resolve) => (goOn = resolve));
    let sent = 0;
    const sending = (async () => {
      for (let count = 0; count < 4096; count += 1) {
        await stdin.write(Buffer.alloc(32 * 1024));
        sent += 32 * 1024;
      }
      await stdin.end();
    })();
    const settled = async (value: () => number): Promise<number> => {
      for (let last = -1; last !== value(); await new Promise((resolve) => setTimeout(resolve, 100))) last = value();
      return value();
    };
    // What lies in the kernel's buffers beside ours is some megabytes.
    expect(await settled(() => sent)).to.be.lessThan(24 * 1024 * 1024);
    expect(await settled(() => accepted)).to.be.lessThan(24 * 1024 * 1024);
    read();
    goOn();
    await Promise.all([sending, stdout.ending()]);
    expect(client.received).to.equal(4096 * 32 * 1024);
    expect(stdout.fin && error.id === 1).to.equal(true);
  });

  it("refuses streams that nobody asked for, and answers pings", async () => {
    const url = offer({}, async (_, signal) => {
      await aborted(signal);
      return 0;
    });
    const { client } = await spdyCommand(url, { stdout: true });
    expect((await client.open({ streamtype: "stdin" })).reset).to.equal(3);
    await client.ping(1);
    client.destroy();
  });
});
