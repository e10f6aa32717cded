/** One port: what is spoken is told by the first bytes, and nobody keeps others out. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { type HealthCheckResponse, HealthClient } from "../../../../src/gen/grpc/health/v1/health.js";
import { sleep } from "../../../../src/base/stage.js";
import { writeTo } from "../../../../src/sandboxes/e2b/answer.js";
import type { HttpProtocol } from "../../../../src/sandboxes/listen/protocol.js";
import { eventually } from "../../../support/wait.js";
import { sample } from "../../metrics/sample.js";
import { curl, exchange, healthOf, mirror, openBed, portOf, read, type Bed } from "./bed.js";

const loopback = 'listen = ["tcp://127.0.0.1:0", "unix://DIRECTORY/s/box.sock"]';
const serving = { status: 1 };

/** Answers when it is told to. */
class Slow implements HttpProtocol {
  readonly name = "slow";
  readonly signals: AbortSignal[] = [];
  readonly #answers: (() => void)[] = [];

  takes(request: Parameters<HttpProtocol["takes"]>[0]): boolean {
    return request.url.pathname === "/slow";
  }

  async handle(...[request, response]: Parameters<HttpProtocol["handle"]>): Promise<void> {
    this.signals.push(request.signal);
    await new Promise<void>((resolve, reject) => {
      this.#answers.push(resolve);
      request.signal.addEventListener("abort", () => {
        reject(new Error("given up"));
      });
    });
    response.end("slow\n");
  }

  answer(): void {
    for (const answer of this.#answers.splice(0)) answer();
  }
}

/** Answers without an end, or with one large piece, or a little at a time; counts the bytes that it got rid of. */
class Talker implements HttpProtocol {
  readonly name = "talker";
  readonly talks: { readonly signal: AbortSignal; bytes: number; over: boolean; closed: boolean }[] = [];

  takes({ url }: Parameters<HttpProtocol["takes"]>[0]): boolean {
    return url.pathname.startsWith("/talk/");
  }

  async handle(...[{ url, signal }, response]: Parameters<HttpProtocol["handle"]>): Promise<void> {
    const talk = { signal, bytes: 0, over: false, closed: false };
    this.talks.push(talk);
    response.once("close", () => {
      talk.closed = true;
    });
    response.writeHead(200);
    try {
      if (url.pathname === "/talk/once") response.end(Buffer.alloc(64 * 1024 * 1024));
      const [size, pauseMs] = url.pathname === "/talk/seldom" ? [1, 4_000] : [65_536, 0];
      while (url.pathname !== "/talk/once") {
        await writeTo(response, Buffer.alloc(size), signal);
        talk.bytes += size;
        if (pauseMs > 0) await sleep(pauseMs, signal);
      }
    } finally {
      talk.over = true;
    }
  }
}

describe("the sandboxes' port", () => {
  let bed: Bed;
  let base: string;
  const slow = new Slow();
  const talker = new Talker();

  before(async () => {
    const broken: HttpProtocol = {
      name: "broken",
      takes: ({ url }) => url.pathname === "/broken",
      handle: () => Promise.reject(new Error("secret")),
    };
    bed = await openBed(`${loopback}\nmax_connections = 600`, {
      limits: { firstBytesMs: 1_500, headersMs: 1_500, bodyIdleMs: 1_500, readerIdleMs: 1_500 },
      protocolsHttp: [mirror, broken, slow, talker],
    });
    base = `http://127.0.0.1:${portOf(bed)}`;
  });

  after(async () => {
    await bed.close();
  });

  async function figure(name: string): Promise<number> {
    return sample(await bed.metrics.text(), name) ?? 0;
  }

  it("speaks gRPC and HTTP/1.1 on each of its listeners", async () => {
    const socket = join(bed.directory, "s/box.sock");
    expect(await curl(`${base}/healthz`)).to.equal("ok\n 200");
    expect(await curl("--unix-socket", socket, "http://box/healthz")).to.equal("ok\n 200");
    expect(await healthOf(`127.0.0.1:${portOf(bed)}`)).to.deep.equal(serving);
    expect(await healthOf(`unix://${socket}`)).to.deep.equal(serving);
    expect(await figure('a3s_box_sandbox_port_requests_total{protocol="grpc",outcome="OK"}')).to.equal(2);
    expect(await figure('a3s_box_sandbox_port_requests_total{protocol="health",outcome="2xx"}')).to.equal(2);
  });

  it("takes requests that come in any pieces, also with a body and one behind the other", async () => {
    const post = "POST /who HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    const get = "GET /who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const bytes = Array.from(Buffer.from(post + get), (byte) => Buffer.from([byte]));
    for (const pieces of [bytes, [post + get], ["P", (post + get).slice(1)]]) {
      const answer = await exchange({ port: portOf(bed) }, pieces);
      expect(answer)
        .to.match(/^HTTP\/1\.1 200 OK/)
        .and.include('"bytes":5')
        .and.include('"bytes":0');
    }
  });

  it("answers by HTTP/1.1 who would go on to another HTTP or to TLS, however often, with a body and with what is behind", async () => {
    const offer = (upgrade: string): string =>
      `Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${upgrade}\r\nHTTP2-Settings: AAMAAABk\r\n`;
    const chunks = "5\r\nhello\r\n0\r\n\r\n";
    const all: string[] = [];
    for (const upgrade of ["h2c", "TLS/1.2", "HTTP/2.0, h2c"]) {
      for (let time = 0; time < 5; time += 1) {
        all.push(
          `GET /who HTTP/1.1\r\n${offer(upgrade)}\r\n`,
          `POST /who HTTP/1.1\r\n${offer(upgrade)}Content-Length: 5\r\n\r\nhello`,
          `POST /who HTTP/1.1\r\n${offer(upgrade)}Transfer-Encoding: chunked\r\n\r\n${chunks}`,
        );
      }
    }
    const last = "GET /who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const told: Error[] = [];
    const warned = (warning: Error): number => told.push(warning);
    process.on("warning", warned);
    for (const pieces of [[[...all, last].join("")], [...all, last], Array.from([...all, last].join(""))]) {
      const text = await exchange({ port: portOf(bed) }, pieces);
      expect(text.match(/HTTP\/1\.1 \d+/g)).to.deep.equal(new Array(46).fill("HTTP/1.1 200"));
      const bytes = [...text.matchAll(/"bytes":(\d+)/g)].map(([, count]) => Number(count));
      expect(bytes).to.deep.equal([...Array.from({ length: 15 }, () => [0, 5, 5]).flat(), 0]);
    }
    process.off("warning", warned);
    expect(told).to.deep.equal([]);
    expect(await curl("--http2", `${base}/who`)).to.match(/ 200$/);
    expect(await curl("--http2", "-d", "hello", `${base}/who`)).to.match(/"bytes":5.* 200$/);
  });

  it("takes HTTP/2's preface a byte at a time, and tells it from a method that begins as it does", async () => {
    const preface = Array.from(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (byte) => Buffer.from([byte]));
    const socket = connect(portOf(bed));
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for (const piece of [...preface, settings]) socket.write(piece);
    const first = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    expect(first[3], "a SETTINGS frame").to.equal(4);
    socket.destroy();
    const close = "Host: localhost\r\nConnection: close\r\n\r\n";
    expect(await exchange({ port: portOf(bed) }, ["PR", `OPFIND /who HTTP/1.1\r\n${close}`])).to.match(
      /^HTTP\/1\.1 200/,
    );
    expect(await exchange({ port: portOf(bed) }, [`PRI * HTTP/1.1\r\n${close}`])).to.match(/^HTTP\/1\.1 400/);
  });

  it("says what it speaks to whoever speaks something else", async () => {
    const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
    expect(await exchange({ port: portOf(bed) }, [hello])).to.match(
      /^HTTP\/1\.1 400 .*no TLS here: .*HTTP\/1\.1, and gRPC/s,
    );
    expect(await exchange({ port: portOf(bed) }, ["\0\0\0"])).to.match(
      /^HTTP\/1\.1 400 .*speaks HTTP\/1\.1, and gRPC/s,
    );
    expect(await exchange({ port: portOf(bed) }, ["HELO there\r\n"])).to.match(/^HTTP\/1\.1 400 .*and gRPC/s);
    expect(await exchange({ port: portOf(bed) }, ["CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"])).to.match(
      /^HTTP\/1\.1 405/,
    );
    expect(await figure('a3s_box_sandbox_port_refused_total{reason="bytes"}')).to.be.at.least(3);
  });

  it("answers what nothing takes, in a form that says what is there", async () => {
    expect(await curl(`${base}/nowhere`)).to.match(/^\{"code":404,"message":"nothing is at \/nowhere; .*\}\n 404$/);
    expect(await curl("-X", "POST", `${base}/healthz`)).to.match(/only GET and HEAD.* 405$/s);
    expect(await curl(`${base}/health`)).to.equal("ok\n 200");
    expect(await curl("-H", "E2b-Sandbox-Id: abc", `${base}/health`)).to.match(/ 404$/);
    expect(await curl("-H", "Connection: Upgrade", "-H", "Upgrade: websocket", `${base}/who`)).to.match(/ 426$/);
    expect(await curl(`${base}/broken`)).to.equal('{"code":500,"message":"internal error"}\n 500');
    expect(bed.lines.join("")).to.include("secret");
  });

  it("closes a connection of HTTP/1.0 after its answer", async () => {
    const answer = await exchange({ port: portOf(bed) }, ["GET /who HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"]);
    expect(answer).to.match(/^HTTP\/1\.1 200 .*connection: close/is);
  });

  it("refuses a request whose target, host or headers are none", async () => {
    for (const request of [
      "GET http://evil/who HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET /who HTTP/1.1\r\n\r\n",
      "GET /who HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      "GET /who HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
      "GET /who HTTP/1.1\r\nHost: localhost\r\nx-sandbox-id: ../..\r\nConnection: close\r\n\r\n",
    ]) {
      expect(
        await exchange({ port: portOf(bed) }, [
          request.replace("localhost\r\n\r\n", "localhost\r\nConnection: close\r\n\r\n"),
        ]),
        request,
      ).to.match(/^HTTP\/1\.1 400/);
    }
    const long = `GET /who HTTP/1.1\r\nHost: localhost\r\nx: ${"a".repeat(20_000)}\r\n\r\n`;
    expect(await exchange({ port: portOf(bed) }, [long])).to.match(/^HTTP\/1\.1 431/);
  });

  it("cuts off headers that never end, and bodies that stand still", async () => {
    const [headers, body, nothing] = await Promise.all([
      exchange({ port: portOf(bed) }, ["GET /who HTTP/1.1\r\nHost: loc"]),
      exchange({ port: portOf(bed) }, ["POST /who HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"]),
      exchange({ port: portOf(bed) }, ["PRI * HT"]),
    ]);
    expect(headers).to.match(/^HTTP\/1\.1 408/);
    expect([body, nothing]).to.deep.equal(["", ""]);
  }).timeout(15_000);

  it("hears others while a thousand are connected that say nothing, or half of something", async () => {
    const silent: Socket[] = [];
    try {
      for (let number = 0; number < 1_000; number += 1) {
        const socket = connect(portOf(bed)).on("error", () => undefined);
        socket.resume();
        if (number % 2 === 1) socket.write("GET / HTTP/1.1\r\n");
        silent.push(socket);
      }
      expect(await curl(`${base}/who`)).to.match(/ 200$/);
      expect(await healthOf(`127.0.0.1:${portOf(bed)}`)).to.deep.equal(serving);
    } finally {
      for (const socket of silent) socket.destroy();
    }
    await eventually("all have gone", 5_000, async () => {
      return (await figure('a3s_box_sandbox_port_connections{listener="tcp"}')) === 0 || undefined;
    });
  }).timeout(15_000);

  it("tells a handler when its client has gone", async () => {
    const socket = connect(portOf(bed));
    socket.write("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const signal = await eventually("it is asked", 5_000, () => slow.signals.at(-1));
    socket.destroy();
    await eventually("it is told", 5_000, () => signal.aborted || undefined);
  });

  for (const what of ["on", "once"]) {
    it(`ends an answer that nobody reads, one that talks ${what}, and holds little of it until then`, async () => {
      const socket = connect(portOf(bed)).on("error", () => undefined);
      try {
        socket.pause().write(`GET /talk/${what} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
        const talk = await eventually("it is asked", 5_000, () => talker.talks.at(-1));
        await eventually("its client is given up", 8_000, () => talk.closed || undefined);
        expect(talk.signal.aborted).to.equal(true);
        await eventually("nobody waits for it", 1_000, () => talk.over || undefined);
        expect(talk.bytes).to.be.below(16 * 1024 * 1024); // the kernel's buffers
      } finally {
        socket.destroy();
        talker.talks.length = 0;
      }
    }).timeout(20_000);
  }

  it("goes on with a client that reads slowly, and with one that has nothing to read for long", async () => {
    const ask = (what: string): Socket => {
      const socket = connect(portOf(bed)).on("error", () => undefined);
      socket.write(`GET /talk/${what} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      return socket;
    };
    const [slowly, seldom] = [ask("once"), ask("seldom")];
    const reading = setInterval(() => void slowly.read(65_536), 10);
    try {
      seldom.resume();
      await eventually("both are asked", 5_000, () => talker.talks.length === 2 || undefined);
      await eventually(
        "it says its second word",
        8_000,
        () => talker.talks.some(({ bytes }) => bytes === 2) || undefined,
      );
      expect(talker.talks.map(({ closed }) => closed)).to.deep.equal([false, false]);
    } finally {
      clearInterval(reading);
      slowly.destroy();
      seldom.destroy();
    }
  }).timeout(20_000);

  it("lets requests under way end when it closes, cuts off what does not, and takes nobody new", async () => {
    const own = new Slow();
    const closing = await openBed(loopback, { protocolsHttp: [own, mirror] });
    const path = join(closing.directory, "s/box.sock");
    const request = "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const good = exchange({ port: portOf(closing) }, [request]);
    await eventually("it is asked", 5_000, () => own.signals[0]);
    const idle = connect(portOf(closing));
    const idleEnd = read(idle);
    idle.write("GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(idle, "data");
    const closed = closing.port.close(10_000);
    expect(await idleEnd, "an idle connection").to.match(/^HTTP\/1\.1 200/);
    expect(await curl(`http://127.0.0.1:${portOf(closing)}/who`).catch(() => "refused")).to.equal("refused");
    own.answer();
    expect(await good).to.match(/^HTTP\/1\.1 200 .*slow/s);
    await closed;
    expect(await curl("--unix-socket", path, "http://box/who").catch(() => "gone")).to.equal("gone");

    const hanging = await openBed(loopback, { protocolsHttp: [own] });
    const cut = exchange({ port: portOf(hanging) }, [request]);
    await eventually("it is asked", 5_000, () => own.signals[1]);
    const beganMs = performance.now();
    await hanging.port.close(500);
    expect(performance.now() - beganMs).to.be.lessThan(2_000);
    expect(own.signals[1]?.aborted).to.equal(true);
    expect(await cut).to.match(/^(HTTP\/1\.1 500.*)?$/s);
    await hanging.close();
    await closing.close();
  }).timeout(20_000);

  it("ends in good order under load: each request is answered whole, or was never begun", async () => {
    const busy = await openBed(loopback, { protocolsHttp: [mirror] });
    const client = new HealthClient(`127.0.0.1:${portOf(busy)}`, credentials.createInsecure());
    const seen: number[] = [];
    const watch = client.watch({ service: "" });
    watch.on("data", ({ status }: HealthCheckResponse) => seen.push(status));
    watch.on("error", () => undefined);
    const watched = once(watch, "end", { signal: AbortSignal.timeout(10_000) });
    await eventually("it is told once", 5_000, () => seen.length > 0 || undefined);
    const body = "x".repeat(100_000);
    const head = `POST /who HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`;
    const all = Array.from({ length: 100 }, async () => {
      return await exchange({ port: portOf(busy) }, [head, body.slice(0, 50_000), body.slice(50_000)]).catch(() => "");
    });
    await eventually("some are answered", 5_000, async () => {
      const count = sample(await busy.metrics.text(), 'a3s_box_sandbox_port_connections{listener="tcp"}') ?? 0;
      return count > 20 || undefined;
    });
    await busy.port.close(10_000);
    for (const answer of await Promise.all(all)) {
      if (answer !== "") expect(answer).to.match(/^HTTP\/1\.1 200 .*"bytes":100000\}/s);
    }
    await watched;
    expect(seen).to.deep.equal([1, 2]);
    client.close();
    await busy.close();
  }).timeout(20_000);

  it("is not opened on what somebody else listens on", async () => {
    const busy = await openBed(`listen = ["tcp://127.0.0.1:${portOf(bed)}"]`).catch((thrown: unknown) =>
      String(thrown),
    );
    expect(busy).to.match(/listen on tcp:\/\/127\.0\.0\.1:\d+: .*EADDRINUSE.*set sandboxes\.listen/);
  });
});
