import { once } from "node:events";
import { expect } from "chai";
import type { StreamingServer } from "../../../src/streaming/server.js";
import { rawConnect, spdyCommand, spdyConnect } from "../../support/streaming/spdy-client.js";
import { aborted, command, failureOf, testServer } from "./support.js";

const v4 = ["v4.channel.k8s.io"];

describe("the streaming server", () => {
  let server: StreamingServer;
  beforeEach(async () => {
    server = await testServer();
  });
  afterEach(async () => {
    await server.close();
  });

  const quick = () => server.offer(command({}, () => Promise.resolve(0)));

  it("gives out URLs on the loopback whose token nobody can guess", () => {
    const [first, second] = [quick(), quick()];
    expect(first).to.match(/^http:\/\/127\.0\.0\.1:\d+\/exec\/[\w-]{22}$/);
    expect(first).to.not.equal(second);
  });

  it("serves a token once", async () => {
    const url = quick();
    const { client, error } = await spdyCommand(url, { stdout: true });
    expect(await error.ending()).to.equal('{"status":"Success"}');
    client.destroy();
    expect(await failureOf(spdyConnect(url, v4))).to.match(/^HTTP 404/);
  });

  it("answers 404 to a token that it never gave out, and to one of another kind", async () => {
    expect(await failureOf(spdyConnect(quick().replace(/[\w-]{5}$/, "00000"), v4))).to.match(/^HTTP 404/);
    expect(await failureOf(spdyConnect(quick().replace("/exec/", "/attach/"), v4))).to.match(/^HTTP 404/);
    expect(await failureOf(spdyConnect(quick().replace("/exec/", "/"), v4))).to.match(/^HTTP 404/);
  });

  it("takes the first of the client's protocols that it knows, in a list or in headers of their own", async () => {
    for (const [offered, chosen] of [
      [["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"], "v4.channel.k8s.io"],
      [["nonsense, v3.channel.k8s.io", "v4.channel.k8s.io"], "v3.channel.k8s.io"],
      [["channel.k8s.io"], "channel.k8s.io"],
    ] as const) {
      const client = await spdyConnect(quick(), offered);
      expect(client.protocol).to.equal(chosen);
      client.destroy();
    }
  });

  it("answers 403 with what it speaks when no protocol fits, and 400 when none is named", async () => {
    expect(await failureOf(spdyConnect(quick(), ["v9.channel.k8s.io"]))).to.match(/^HTTP 403: unable to upgrade/);
    expect(await failureOf(spdyConnect(quick(), []))).to.match(/^HTTP 400/);
  });

  it("answers 400 to a request that is no upgrade", async () => {
    const response = await fetch(quick(), { method: "POST" });
    expect(response.status).to.equal(400);
  });

  it("survives connections that break in the middle of anything", async () => {
    const url = quick();
    const socket = await rawConnect(url);
    socket.write(`POST ${new URL(url).pathname} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n`);
    socket.write("X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n");
    await once(socket, "data");
    socket.resetAndDestroy();
    const noise = await rawConnect(url);
    noise.end("\0\0\0");
    await once(noise.resume(), "close");
    const next = await spdyCommand(quick(), { stdout: true });
    await next.error.ending();
  });

  it("closes a connection on which nothing moves, and its command with it", async () => {
    await server.close();
    server = await testServer(1000);
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const url = server.offer(
      command({}, async (_, signal) => {
        await aborted(signal);
        end();
        return 0;
      }),
    );
    const { client } = await spdyCommand(url, { stdout: true });
    await ended;
    await client.until(() => client.closed).catch(() => undefined);
  });

  it("ends its sessions when it closes", async () => {
    const url = server.offer(
      command({}, async (_, signal) => {
        await aborted(signal);
        return 0;
      }),
    );
    const { client } = await spdyCommand(url, { stdout: true });
    await Promise.all([server.close(), client.until(() => client.goAway)]);
    server = await testServer();
  });
});
